"""Rollback: make an earlier champion champion again."""

from typing import TYPE_CHECKING

from components.common import registry
from components.common.registry.load_test.check import load_and_score
from components.common.registry.promotion.move_champion import move_champion, settle_aliases
from components.common.registry.promotion.promotion_log import Audit, Promotion, read_promotions
from components.common.runtime.webhook import send

if TYPE_CHECKING:
    from mlflow import MlflowClient


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
        announce(name, move)
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


def announce(name: str, move: Promotion) -> None:
    """Send a person's promotion or rollback to the webhook."""
    content = {"name": name, "version": move.to, "from": move.source, "to": move.to, "reason": move.why}
    send("promoted", {**content, "who": move.who, "when": move.when})
