"""Manual promotion, approval and rollback."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from components.common import registry
from components.common.artifacts.decision import Decision
from components.common.registry.load_test import load_and_score
from components.common.registry.promotion_log import APPROVED, Audit, Promotion, read_promotions
from components.common.runtime.webhook import send
from components.promote.move_champion import move_champion, settle_aliases

if TYPE_CHECKING:
    from mlflow import MlflowClient


def promote_manually(
    client: "MlflowClient", name: str, version: str, approval: str | None
) -> Promotion | None:
    """Make a version champion.

    Args:
        approval: a person's reason to approve the version. Required if its decision is HOLD, or if
            ``registry.require_approval`` was set.

    Returns:
        The promotion, or None if the version is champion already.

    Raises:
        RegistryError: the decision does not allow it or was changed, the champion changed since, or the version
            fails its load test.
    """
    decision = read_decision(client, name, version)
    _check_allowed(client, name, version, decision, approval)
    load_and_score(client, name, version)
    why = f"{APPROVED}{approval}" if approval is not None else decision.reason
    expected = decision.champion.version if decision.champion else None
    move = move_champion(client, name, expected, version, Audit(why=why, decision=decision.digest))
    if move is not None:
        _notify(name, move)
    return move


def _check_allowed(
    client: "MlflowClient", name: str, version: str, decision: Decision, approval: str | None
) -> None:
    what = f"{name} version {version}"
    how = 'approve it with --approve "REASON"'
    if decision.outcome == "ERROR":
        raise registry.RegistryError(
            f"{what}: its decision is ERROR ({decision.reason}), which cannot be approved; run the pipeline again"
        )
    if approval is not None:
        return
    if decision.outcome == "HOLD":
        raise registry.RegistryError(
            f"{what}: its decision is HOLD ({decision.reason}); {how} to override it"
        )
    if registry.get_version(client, name, version).tags.get(registry.APPROVAL_TAG) == "person":
        raise registry.RegistryError(f"{what}: registry.require_approval requires a person's approval; {how}")


def roll_back(
    client: "MlflowClient", name: str, to: str | None = None, why: str = "rolled back"
) -> Promotion | None:
    """Make a version champion again.

    Without ``to`` it undoes a promotion, but not a rollback: repeating an interrupted rollback completes that one.

    Args:
        to: a version that was champion before; the one with the alias ``previous`` if not given.

    Returns:
        The promotion, or None if ``to`` is champion already.

    Raises:
        RegistryError: the version does not exist, was never champion, or fails its load test; or, without ``to``,
            there was no earlier champion, or the newest promotion was a rollback.
    """
    interrupted = _is_interrupted(read_promotions(client, name))
    moves, held = _read_settled(client, name)
    current, target = held.get("champion"), to or held.get("previous")
    if to is None and moves and moves[-1].is_rollback and moves[-1].to == current:
        last = moves[-1]
        if interrupted:
            return last
        raise registry.RegistryError(
            f"model {name}: is rolled back already, from version {last.source} to {last.to}, by {last.who} at "
            f"{last.when}; to roll back further, name a version with --to VERSION"
        )
    if target is None:
        raise registry.RegistryError(
            f"model {name}: no version has the alias previous; name one with --to VERSION"
        )
    registry.get_version(client, name, target)
    if target not in {version for move in moves for version in (move.source, move.to)}:
        raise registry.RegistryError(
            f"{name} version {target}: was never champion; promote it with recap promote {target}"
        )
    if target == current:
        return None
    load_and_score(client, name, target)
    move = move_champion(client, name, current, target, Audit(why=why))
    if move is not None:
        _notify(name, move)
    return move


def _read_settled(client: "MlflowClient", name: str) -> tuple[list[Promotion], dict[str, str]]:
    """All promotions, and the aliases while no promotion was being applied."""
    while True:
        moves = settle_aliases(client, name)
        held = registry.aliases(client, name)
        if read_promotions(client, name) == moves:
            return moves, held


def _is_interrupted(moves: list[Promotion]) -> bool:
    """Whether the process that recorded the newest promotion ended before it moved the aliases."""
    return bool(moves) and not moves[-1].applied


def _notify(name: str, move: Promotion) -> None:
    content = {"name": name, "version": move.to, "from": move.source, "to": move.to, "reason": move.why}
    send("promoted", {**content, "who": move.who, "when": move.when})


def read_decision(client: "MlflowClient", name: str, version: str) -> Decision:
    """The decision in a version's artifacts. Raises RegistryError if it does not match the version's tag."""
    expected = registry.get_version(client, name, version).tags.get(registry.DECISION_TAG)
    with tempfile.TemporaryDirectory(prefix="recap-decision-") as temporary:
        decision = Decision.read(registry.fetch(client, name, version, Path(temporary)) / "evaluation")
    if decision.digest != expected:
        raise registry.RegistryError(
            f"{name} version {version}: its tag {registry.DECISION_TAG} does not match its stored decision; "
            "register the run again"
        )
    return decision
