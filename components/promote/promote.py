"""Apply the decision on a version: make it champion, or report why not."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from components.common import registry
from components.common.artifacts.decision import Decision
from components.common.artifacts.registered_version import RegisteredVersion
from components.common.history import write_history
from components.common.registry.load_test.check import check_unchanged_version
from components.common.registry.promotion.move_champion import ChampionChangedError, move_champion
from components.common.registry.promotion.promotion_log import Audit, read_promotions
from components.common.registry.run_metrics import log_metrics
from components.common.runtime.atomic_output import atomic_directory
from components.common.runtime.cost import CostMeter, cost_metrics
from components.common.runtime.step import progress
from components.common.runtime.webhook import send
from recap_model.config import StrictModel

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROMOTION_NAME = "promotion.json"

log = logging.getLogger(__name__)


class PromotionResult(StrictModel):
    """The result of the step. ``from`` and ``to`` are the champion's version before and after.

    ``waits``: only a person's approval is missing.
    """

    format: Literal["recap-promotion/1"] = "recap-promotion/1"
    promoted: bool
    waits: bool = False
    name: str
    version: str
    source: str | None = Field(serialization_alias="from")
    to: str | None
    reason: str
    outcome: str
    decision_digest: str
    tracking_uri: str

    def notify(self) -> None:
        """Send the event ``promoted``, ``waiting`` or ``held`` to the webhook."""
        event = "promoted" if self.promoted else "waiting" if self.waits else "held"
        fields = {"name", "version", "source", "to", "outcome", "reason"}
        send(event, self.model_dump(include=fields, by_alias=True))


def promote_version(
    version: str | Path,
    evaluation: str | Path,
    out: str | Path,
    history: str | Path | None = None,
    meter: CostMeter | None = None,
) -> PromotionResult:
    """Make the version champion if the decision is PROMOTE and still valid; write ``promotion.json``, send the event.

    With a decision HOLD or ERROR, or if the champion has changed since, nothing is moved and the step succeeds. If
    only a person's approval is missing, the version becomes ``challenger``. Idempotent, even if the champion moves
    in between.

    Args:
        history: file for the page of the model's history, with this promotion.
        meter: of this step, whose cost is recorded with the version.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: the decision is of another version, the registry does not answer, or the version was altered since
            its load test.
    """
    registered, decision = RegisteredVersion.read(version), Decision.read(evaluation)
    client = registry.connect(registered.tracking_uri)
    tag = registry.get_version(client, registered.name, registered.version).tags.get(registry.DECISION_TAG)
    if tag != decision.digest:
        raise ValueError(
            f"{registered.name} version {registered.version}: was registered with another decision; give the "
            "evaluation that register was given"
        )
    done = _apply_decision(client, registered, decision)
    promotion = PromotionResult(
        promoted=done.kind == "promotion",
        waits=done.kind == "approval_wanted",
        name=registered.name,
        version=registered.version,
        source=done.source,
        to=registry.aliases(client, registered.name).get("champion"),
        reason=done.reason,
        outcome=decision.outcome,
        decision_digest=decision.digest,
        tracking_uri=registered.tracking_uri,
    )
    with atomic_directory(out) as folder:
        (folder / PROMOTION_NAME).write_text(promotion.model_dump_json(indent=1, by_alias=True))
    log.info("name=%s version=%s event=%s", registered.name, registered.version, done.kind)
    promotion.notify()
    if meter is not None:
        with registry.registry_errors(client):
            log_metrics(client, registered.run_id, cost_metrics("promote", meter.figures()))
    if history is not None:
        write_history(client, registered.name, history)
    return promotion


@dataclass(frozen=True)
class _Done:
    """The action taken, the champion before it, and the reason as a sentence."""

    kind: Literal["promotion", "hold", "approval_wanted"]
    source: str | None
    reason: str


def _apply_decision(client: "MlflowClient", registered: RegisteredVersion, decision: Decision) -> _Done:
    name, version = registered.name, registered.version
    what = f"{name} version {version}"
    champion = registry.aliases(client, name).get("champion")
    only_approval = decision.outcome == "HOLD" and all(
        rule.status in ("pass", "skipped", "warning") for rule in decision.rules
    )
    if decision.outcome != "PROMOTE" and not only_approval:
        return _Done("hold", champion, f"{what} is not promoted: {decision.reason}")
    progress(0.2, 1, "checking the version's files")
    check_unchanged_version(client, registered)
    expected = decision.champion.version if decision.champion else None
    if only_approval or registered.require_approval:
        return _request_approval(client, registered, champion, expected, decision.reason)
    audit = Audit(
        who=f"pipeline run {registered.pipeline_run}",
        why=decision.reason,
        decision=decision.digest,
        token=f"run {registered.pipeline_run}",
    )
    try:
        move = move_champion(client, name, expected, version, audit)
    except ChampionChangedError as error:
        return _Done("hold", champion, f"{what} is not promoted: {error}")
    now = registry.aliases(client, name).get("champion")
    source = move.source if move else champion
    if now != version and move is not None:
        since = f"{what} was promoted at {move.when}; the champion moved to version {now} since"
        return _Done("promotion", source, since)
    return _Done("promotion", source, f"{what} is champion: {decision.reason}")


def _request_approval(
    client: "MlflowClient",
    registered: RegisteredVersion,
    champion: str | None,
    expected: str | None,
    why: str,
) -> _Done:
    """Make a version wait for approval, unless it was promoted before or the champion changed since its decision."""
    name, version = registered.name, registered.version
    what = f"{name} version {version}"
    approved = next((move for move in read_promotions(client, name) if move.to == version), None)
    if approved is not None:
        return _Done("promotion", approved.source, f"{what} was promoted at {approved.when}: {approved.why}")
    if champion != expected:
        moved = f"the champion is {champion or 'none'}; this was decided against {expected or 'none'}"
        return _Done("hold", champion, f"{what} is not promoted: {moved}")
    _set_challenger(client, name, version)
    how = f'recap promote {version} --approve "REASON"'
    return _Done("approval_wanted", champion, f"{what} waits for approval ({how}): {why}")


def _set_challenger(client: "MlflowClient", name: str, version: str) -> None:
    """Set the alias ``challenger`` to a version unless a newer one has it."""
    held = registry.aliases(client, name)
    if int(held.get("challenger", 0)) < int(version):
        registry.move_alias(client, name, "challenger", version)
