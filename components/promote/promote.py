"""Obey the decision on a version: make it champion, or say why it does not become one."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from components.artifacts import registry
from components.artifacts.decision import Decision
from components.artifacts.door import progress
from components.artifacts.output import whole_folder
from components.artifacts.proof import prove
from components.artifacts.version import RegisteredVersion
from components.promote.champion import ChampionMoved, move_champion
from components.promote.moves import Audit
from recap_model.config import Config

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROMOTION_NAME = "promotion.json"

log = logging.getLogger(__name__)


class Promotion(Config):
    """What became of a decision. ``from`` and ``to`` are the champion's version before and after."""

    format: Literal["recap-promotion/1"] = "recap-promotion/1"
    promoted: bool
    name: str
    version: str
    source: str | None = Field(serialization_alias="from")
    to: str | None
    reason: str
    outcome: str
    decision_digest: str
    tracking_uri: str

    def event(self) -> dict[str, str | None]:
        """What those who must know are told of it."""
        told = {"name", "version", "source", "to", "outcome", "reason"}
        return self.model_dump(include=told, by_alias=True)


def promote_version(version: str | Path, evaluation: str | Path, out: str | Path) -> Promotion:
    """Make the version champion if the decision says PROMOTE and still holds; write ``promotion.json``.

    A decision HOLD or ERROR, or a champion that moved since, moves nothing and is no failure. Running it again
    changes nothing, even if somebody moved the champion in between.

    Raises:
        FileNotFoundError: an input is not there.
        ValueError: the decision is not the version's, the registry does not answer, or the version does not load.
    """
    registered, decision = RegisteredVersion.read(version), Decision.read(evaluation)
    client = registry.connect(registered.tracking_uri)
    tag = registry.get_version(client, registered.name, registered.version).tags.get(registry.DECISION_TAG)
    if tag != decision.digest:
        raise ValueError(
            f"{registered.name} version {registered.version}: was registered with another decision; hand over "
            "the evaluation that register was given"
        )
    promoted, source, reason = _obey(client, registered, decision)
    promotion = Promotion(
        promoted=promoted,
        name=registered.name,
        version=registered.version,
        source=source,
        to=registry.aliases(client, registered.name).get("champion"),
        reason=reason,
        outcome=decision.outcome,
        decision_digest=decision.digest,
        tracking_uri=registered.tracking_uri,
    )
    with whole_folder(out) as folder:
        (folder / PROMOTION_NAME).write_text(promotion.model_dump_json(indent=1, by_alias=True))
    log.info("name=%s version=%s promoted=%s", registered.name, registered.version, promoted)
    return promotion


def _obey(
    client: "MlflowClient", registered: RegisteredVersion, decision: Decision
) -> tuple[bool, str | None, str]:
    """Whether the version was promoted, the champion before it, and a sentence on why."""
    what = f"{registered.name} version {registered.version}"
    champion = registry.aliases(client, registered.name).get("champion")
    if decision.outcome != "PROMOTE":
        return False, champion, f"{what} is not promoted: {decision.reason}"
    progress(0.2, 1, "loading the version once more")
    prove(client, registered.name, registered.version)
    expected = decision.champion.version if decision.champion else None
    audit = Audit(
        who=f"pipeline run {registered.pipeline_run}",
        why=decision.reason,
        decision=decision.digest,
        token=f"run {registered.pipeline_run}",
    )
    try:
        move = move_champion(client, registered.name, expected, registered.version, audit)
    except ChampionMoved as moved:
        return False, champion, f"{what} is not promoted: {moved}"
    now = registry.aliases(client, registered.name).get("champion")
    source = move.source if move else champion
    if now != registered.version and move is not None:
        return True, source, f"{what} was promoted at {move.when}; the champion moved to version {now} since"
    return True, source, f"{what} is champion: {decision.reason}"
