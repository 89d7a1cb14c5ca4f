"""The description of a version in MLflow: the champion's moves to it and from it, above its decision."""

from typing import TYPE_CHECKING

from components.common import registry
from components.promote.promotion_log import Move

if TYPE_CHECKING:
    from mlflow import MlflowClient

APPROVED = "approved: "
"""Begins the reason of a move that a person made against the decision, or where the config asks for approval."""

_DECISION = "\n\nDecision at registration: "
_MOVES_SHOWN, _LONGEST_REASON = 5, 400


def describe_moves(client: "MlflowClient", name: str, version: str, moves: list[Move]) -> None:
    """Let a version's description say who made it champion or replaced it, when and why, the newest move first.

    What the description said before, the decision as a rule, stays below. Doing it again changes nothing.

    Args:
        moves: all of the model's champion, the oldest first.
    """
    own = [move for move in moves if version in (move.source, move.to)]
    before = registry.get_version(client, name, version).description or ""
    decision = before.rpartition(_DECISION)[2]
    said = [_sentence(move, version) for move in reversed(own[-_MOVES_SHOWN:])]
    text = "\n\n".join(said) + _DECISION + decision
    with registry.registry_errors(client):
        client.update_model_version(name, version, text[: registry.LONGEST_DESCRIPTION])


def _sentence(move: Move, version: str) -> str:
    """One move as the version saw it."""
    approved = move.why.startswith(APPROVED)
    why = " ".join(move.why.removeprefix(APPROVED).split())[:_LONGEST_REASON]
    by = f"by {move.who} at {move.when}: {why}"
    if move.to == version:
        verb = "Rolled back to this version" if move.is_rollback else "Approved" if approved else "Promoted"
        return f"{verb} {by}"
    if move.is_rollback:
        return f"Rolled back to version {move.to} {by}"
    return f"Replaced by version {move.to}, {'approved' if approved else 'promoted'} {by}"
