"""A person moves the champion: promotes a version whose decision allows it, approves one on hold, rolls back."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from components.common import registry
from components.common.artifacts.decision import Decision
from components.common.registry.load_test import load_and_score
from components.common.runtime.webhook import send
from components.promote.move_champion import move_champion, settle
from components.promote.move_description import APPROVED
from components.promote.promotion_log import Audit, Move, read_moves

if TYPE_CHECKING:
    from mlflow import MlflowClient


def promote_by_hand(client: "MlflowClient", name: str, version: str, approval: str | None) -> Move | None:
    """Make a version champion.

    Args:
        approval: why a person takes the version. Needed where its decision is HOLD, and where
            ``registry.require_approval`` asked for a person.

    Returns:
        The move, or None if the version is champion already.

    Raises:
        RegistryError: the decision does not allow it or was changed, the champion moved since, or the version
            does not load and score as it did.
    """
    decision = read_decision(client, name, version)
    _check_allowed(client, name, version, decision, approval)
    load_and_score(client, name, version)
    why = f"{APPROVED}{approval}" if approval is not None else decision.reason
    expected = decision.champion.version if decision.champion else None
    move = move_champion(client, name, expected, version, Audit(why=why, decision=decision.digest))
    if move is not None:
        _tell(name, move)
    return move


def _check_allowed(
    client: "MlflowClient", name: str, version: str, decision: Decision, approval: str | None
) -> None:
    what = f"{name} version {version}"
    how = 'approve it with --approve "REASON"'
    if decision.outcome == "ERROR":
        raise registry.RegistryError(
            f"{what}: its decision is ERROR ({decision.reason}); nobody can approve it; run the pipeline again"
        )
    if approval is not None:
        return
    if decision.outcome == "HOLD":
        raise registry.RegistryError(f"{what}: its decision is HOLD ({decision.reason}); {how} if you must")
    if registry.get_version(client, name, version).tags.get(registry.APPROVAL_TAG) == "person":
        raise registry.RegistryError(f"{what}: registry.require_approval asks for a person's approval; {how}")


def roll_back(
    client: "MlflowClient", name: str, to: str | None = None, why: str = "rolled back"
) -> Move | None:
    """Make a version champion again.

    Without ``to`` it undoes a promotion, and what was undone is not undone again: a rollback that is repeated because
    the first one was broken off ends where that one would have.

    Args:
        to: a version that was champion before; the one with the alias ``previous`` if not given.

    Returns:
        The move, or None if ``to`` is champion already.

    Raises:
        RegistryError: there is no such version, it was never champion, or it does not load; or, without ``to``, there
            was no earlier champion, or the newest move was a rollback.
    """
    broken_off = _broken_off(read_moves(client, name))
    moves, held = _between_moves(client, name)
    current, target = held.get("champion"), to or held.get("previous")
    if to is None and moves and moves[-1].is_rollback and moves[-1].to == current:
        last = moves[-1]
        if broken_off:
            return last
        raise registry.RegistryError(
            f"model {name}: is rolled back already, from version {last.source} to {last.to}, by {last.who} at "
            f"{last.when}; to go on, name a version with --to VERSION"
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
        _tell(name, move)
    return move


def _between_moves(client: "MlflowClient", name: str) -> tuple[list[Move], dict[str, str]]:
    """All moves, and the aliases at a moment when none was following a move: half-way both are one version."""
    while True:
        moves = settle(client, name)
        held = registry.aliases(client, name)
        if read_moves(client, name) == moves:
            return moves, held


def _broken_off(moves: list[Move]) -> bool:
    """Whether whoever made the newest move was not there any more to let the aliases follow it."""
    return bool(moves) and not moves[-1].applied


def _tell(name: str, move: Move) -> None:
    told = {"name": name, "version": move.to, "from": move.source, "to": move.to, "reason": move.why}
    send("promoted", {**told, "who": move.who, "when": move.when})


def read_decision(client: "MlflowClient", name: str, version: str) -> Decision:
    """The decision inside a version. Raises RegistryError if it is not the one of the version's tag."""
    expected = registry.get_version(client, name, version).tags.get(registry.DECISION_TAG)
    with tempfile.TemporaryDirectory(prefix="recap-decision-") as temporary:
        decision = Decision.read(registry.fetch(client, name, version, Path(temporary)) / "evaluation")
    if decision.digest != expected:
        raise registry.RegistryError(
            f"{name} version {version}: its tag {registry.DECISION_TAG} is of another decision than the one "
            "inside it; register the run again"
        )
    return decision
