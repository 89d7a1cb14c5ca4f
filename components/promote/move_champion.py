"""Move the alias ``champion``: of several at once one wins, and one that dies half-way is completed by the next."""

import time
from typing import TYPE_CHECKING

from components.common import registry
from components.promote.move_description import describe_moves
from components.promote.promotion_log import Audit, Move, append_move, mark_applied, read_moves

if TYPE_CHECKING:
    from mlflow import MlflowClient

# How long the aliases may lag behind a recorded move before another process moves them in its place.
LEASE_S = 5.0
_POLL_S = 0.1


class ChampionMoved(registry.RegistryError):
    """The champion is not the one that was expected, or another promoter was first."""


def move_champion(
    client: "MlflowClient", name: str, expected: str | None, to: str, audit: Audit
) -> Move | None:
    """Make version ``to`` champion if ``expected`` is it still, and ``previous`` what was champion.

    The move is recorded first, then the aliases follow. A process that is killed before its move is recorded has
    changed nothing; one that is killed after it has won, and whoever next calls this lets the aliases follow, at
    most ``LEASE_S`` seconds after it looked.

    Args:
        expected: the champion's version that the move was decided against; None if there was no champion.

    Returns:
        The move, or None if ``to`` is champion already.

    Raises:
        ChampionMoved: the champion is another one; nothing was changed.
        RegistryError: the registry does not answer, or has no version ``to``.
    """
    registry.get_version(client, name, to)
    moves = settle(client, name)
    made = next((move for move in moves if move.token == audit.token), None)
    if made is not None:
        return made
    current = registry.aliases(client, name).get("champion")
    if current == to:
        return None
    if current != expected:
        raise ChampionMoved(
            f"model {name}: the champion is {_worded(current)}; this was decided against {_worded(expected)}, "
            "so nothing was moved"
        )
    append_move(client, name, current, to, moves[-1].number if moves else 0, audit)
    moves = read_moves(client, name)
    made = next((move for move in moves if move.token == audit.token), None)
    if made is None:
        raise ChampionMoved(
            f"model {name}: {moves[-1].who} was first and made version {moves[-1].to} champion; nothing was moved"
        )
    _apply(client, name, made)
    return made.model_copy(update={"applied": True})


def settle(client: "MlflowClient", name: str) -> list[Move]:
    """Wait until the aliases have followed the newest move, or let them follow; returns all moves."""
    deadline = time.monotonic() + LEASE_S
    while True:
        moves = read_moves(client, name)
        if not moves or moves[-1].applied:
            return moves
        if time.monotonic() >= deadline:
            _apply(client, name, moves[-1])
        else:
            time.sleep(_POLL_S)


def _apply(client: "MlflowClient", name: str, move: Move) -> None:
    """Let the aliases follow a move, and the newest one if there was another in the meantime."""
    while True:
        if move.source is not None:
            registry.move_alias(client, name, "previous", move.source)
        registry.move_alias(client, name, "champion", move.to)
        _drop_lesser_aliases(client, name, move.to)
        moves = read_moves(client, name)
        for version in filter(None, (move.source, move.to)):
            describe_moves(client, name, version, moves)
        mark_applied(client, name, move)
        newest = read_moves(client, name)[-1]
        if newest.number == move.number:
            return
        move = newest


def _drop_lesser_aliases(client: "MlflowClient", name: str, champion: str) -> None:
    """A champion is no candidate and no challenger any more."""
    held = registry.aliases(client, name)
    lesser: tuple[registry.Alias, ...] = ("candidate", "challenger")
    for alias in lesser:
        if held.get(alias) == champion:
            registry.move_alias(client, name, alias, None)


def _worded(version: str | None) -> str:
    return f"version {version}" if version else "none"
