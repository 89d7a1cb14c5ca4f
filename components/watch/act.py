"""What follows from a watched day: ask for a retraining or a rollback, or roll back."""

from typing import TYPE_CHECKING

from components.common import registry
from components.common.artifacts.watch_record import WatchRecord
from components.common.registry.promotion.move_champion import ChampionChangedError, move_champion
from components.common.registry.promotion.promotion_log import Audit
from components.common.registry.promotion.rollback import announce
from components.common.runtime.webhook import send
from recap_model.config.steps.watch import WatchConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient


def act(client: "MlflowClient", record: WatchRecord, policy: WatchConfig) -> str:
    """Do what the policy says of the outcome; returns it in a sentence, empty for OK.

    Nothing is done if the version is no longer champion. Repeating it is safe: an event has the same id, and a
    rollback is found by its token.
    """
    if record.outcome == "OK":
        return ""
    now = registry.aliases(client, record.name).get("champion")
    if record.outcome == "ROLL BACK" and policy.on_better_version == "roll_back":
        return _roll_back(client, record)
    if now != record.version:
        return f"nothing: the champion is version {now or 'none'} by now"
    event = "retraining_wanted" if record.outcome == "RETRAIN" else "rollback_wanted"
    wanted = "a retraining" if record.outcome == "RETRAIN" else "a person to roll back (recap rollback)"
    send(event, {**record.model_dump(mode="json", include={"name", "version", "day", "outcome", "reason"})})
    return f"asked for {wanted}"


def _roll_back(client: "MlflowClient", record: WatchRecord) -> str:
    target = record.others["previous"].version
    audit = Audit(
        who="recap watch", why=record.reason, token=f"watch {record.version} {record.day} {record.snapshot}"
    )
    try:
        move = move_champion(client, record.name, record.version, target, audit)
    except ChampionChangedError as error:
        return f"nothing: {error}"
    if move is None:
        return f"nothing: version {target} is champion by now"
    announce(record.name, move)
    return f"rolled back to version {target}"
