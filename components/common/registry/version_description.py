"""A version's description in MLflow: its promotions, above its decision."""

from typing import TYPE_CHECKING

from components.common import registry
from components.common.registry.promotion.promotion_log import APPROVED, Promotion

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DECISION = "\n\nDecision at registration: "
_MOVES_SHOWN, _LONGEST_REASON = 5, 400


def describe_promotions(client: "MlflowClient", name: str, version: str, moves: list[Promotion]) -> None:
    """Write into a version's description who promoted or replaced it, when and why, the newest first.

    The previous text, normally the decision, is kept below. Idempotent.

    Args:
        moves: all promotions of the model, the oldest first.
    """
    relevant = [move for move in moves if version in (move.source, move.to)]
    before = registry.get_version(client, name, version).description or ""
    decision = before.rpartition(_DECISION)[2]
    sentences = [_describe(move, version) for move in reversed(relevant[-_MOVES_SHOWN:])]
    text = "\n\n".join(sentences) + _DECISION + decision
    with registry.registry_errors(client):
        client.update_model_version(name, version, text[: registry.LONGEST_DESCRIPTION])


def _describe(move: Promotion, version: str) -> str:
    """A sentence on one promotion from the version's side."""
    approved = move.is_approval
    why = " ".join(move.why.removeprefix(APPROVED).split())[:_LONGEST_REASON]
    by = f"by {move.who} at {move.when}: {why}"
    if move.to == version:
        verb = "Rolled back to this version" if move.is_rollback else "Approved" if approved else "Promoted"
        return f"{verb} {by}"
    if move.is_rollback:
        return f"Rolled back to version {move.to} {by}"
    return f"Replaced by version {move.to}, {'approved' if approved else 'promoted'} {by}"
