"""Obey the decision on a version: make it champion, or say why it does not become one."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from components.common import registry
from components.common.artifacts.decision import Decision
from components.common.artifacts.registered_version import RegisteredVersion
from components.common.registry.load_test import check_unchanged_version
from components.common.runtime.atomic_output import atomic_directory
from components.common.runtime.step import progress
from components.promote.move_champion import ChampionMoved, move_champion
from components.promote.promotion_log import Audit, read_moves
from recap_model.config import StrictModel

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROMOTION_NAME = "promotion.json"

log = logging.getLogger(__name__)


class Promotion(StrictModel):
    """What became of a decision. ``from`` and ``to`` are the champion's version before and after.

    ``waits`` says that a person's approval is all that is missing.
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

    def event(self) -> dict[str, str | None]:
        """What those who must know are told of it."""
        told = {"name", "version", "source", "to", "outcome", "reason"}
        return self.model_dump(include=told, by_alias=True)


def promote_version(version: str | Path, evaluation: str | Path, out: str | Path) -> Promotion:
    """Make the version champion if the decision says PROMOTE and still holds; write ``promotion.json``.

    A decision HOLD or ERROR, or a champion that moved since, moves nothing and is no failure. Where a person's
    approval is all that is missing, the version becomes ``challenger`` and waits. Running it again changes nothing,
    even if somebody moved the champion in between.

    Raises:
        FileNotFoundError: an input is not there.
        ValueError: the decision is not the version's, the registry does not answer, or the version was altered since
            register loaded and scored it.
    """
    registered, decision = RegisteredVersion.read(version), Decision.read(evaluation)
    client = registry.connect(registered.tracking_uri)
    tag = registry.get_version(client, registered.name, registered.version).tags.get(registry.DECISION_TAG)
    if tag != decision.digest:
        raise ValueError(
            f"{registered.name} version {registered.version}: was registered with another decision; hand over "
            "the evaluation that register was given"
        )
    done = _obey(client, registered, decision)
    promotion = Promotion(
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
    return promotion


@dataclass(frozen=True)
class _Done:
    """What was done, the champion before it, and a sentence on why."""

    kind: Literal["promotion", "hold", "approval_wanted"]
    source: str | None
    reason: str


def _obey(client: "MlflowClient", registered: RegisteredVersion, decision: Decision) -> _Done:
    name, version = registered.name, registered.version
    what = f"{name} version {version}"
    champion = registry.aliases(client, name).get("champion")
    only_approval = decision.outcome == "HOLD" and all(
        rule.verdict in ("pass", "skipped") for rule in decision.rules
    )
    if decision.outcome != "PROMOTE" and not only_approval:
        return _Done("hold", champion, f"{what} is not promoted: {decision.reason}")
    progress(0.2, 1, "checking the version's files")
    check_unchanged_version(client, registered)
    expected = decision.champion.version if decision.champion else None
    if only_approval or registered.require_approval:
        return _wait(client, registered, champion, expected, decision.reason)
    audit = Audit(
        who=f"pipeline run {registered.pipeline_run}",
        why=decision.reason,
        decision=decision.digest,
        token=f"run {registered.pipeline_run}",
    )
    try:
        move = move_champion(client, name, expected, version, audit)
    except ChampionMoved as moved:
        return _Done("hold", champion, f"{what} is not promoted: {moved}")
    now = registry.aliases(client, name).get("champion")
    source = move.source if move else champion
    if now != version and move is not None:
        since = f"{what} was promoted at {move.when}; the champion moved to version {now} since"
        return _Done("promotion", source, since)
    return _Done("promotion", source, f"{what} is champion: {decision.reason}")


def _wait(
    client: "MlflowClient",
    registered: RegisteredVersion,
    champion: str | None,
    expected: str | None,
    why: str,
) -> _Done:
    """Let a version wait for approval, unless it was promoted before, or the champion moved since its decision."""
    name, version = registered.name, registered.version
    what = f"{name} version {version}"
    approved = next((move for move in read_moves(client, name) if move.to == version), None)
    if approved is not None:
        return _Done("promotion", approved.source, f"{what} was promoted at {approved.when}: {approved.why}")
    if champion != expected:
        moved = f"the champion is {champion or 'none'}; this was decided against {expected or 'none'}"
        return _Done("hold", champion, f"{what} is not promoted: {moved}")
    _set_challenger(client, name, version)
    how = f'recap promote {version} --approve "REASON"'
    return _Done("approval_wanted", champion, f"{what} waits for approval ({how}): {why}")


def _set_challenger(client: "MlflowClient", name: str, version: str) -> None:
    """Let a version wait as ``challenger`` unless a newer one does already."""
    held = registry.aliases(client, name)
    if int(held.get("challenger", 0)) < int(version):
        registry.move_alias(client, name, "challenger", version)
