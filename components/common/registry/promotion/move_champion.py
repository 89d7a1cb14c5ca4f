"""Move the alias ``champion`` atomically: one of several concurrent promotions wins."""

import time
from typing import TYPE_CHECKING

from components.common import registry
from components.common.registry.promotion.promotion_log import (
    Audit,
    Promotion,
    append_promotion,
    mark_applied,
    read_promotions,
)
from components.common.registry.version_description import describe_promotions

if TYPE_CHECKING:
    from mlflow import MlflowClient

# How long the aliases may lag behind a recorded promotion before another process applies it.
LEASE_S = 5.0
_POLL_S = 0.1


class ChampionChangedError(registry.RegistryError):
    """The champion is not the expected one, or a concurrent promotion was first."""


def move_champion(
    client: "MlflowClient", name: str, expected: str | None, to: str, audit: Audit
) -> Promotion | None:
    """Compare and swap: make version ``to`` champion if ``expected`` still is, and set ``previous`` to the old one.

    The promotion is recorded first, then the aliases are moved. A process killed before the record has changed
    nothing; for one that is killed after it, the next caller moves the aliases, at most ``LEASE_S`` seconds after it
    first read the record.

    Args:
        expected: the champion's version that the promotion was decided against; None if there was no champion.

    Returns:
        The promotion, or None if ``to`` is champion already.

    Raises:
        ChampionChangedError: the champion is another one; nothing was changed.
        RegistryError: the registry does not answer, or has no version ``to``.
    """
    registry.get_version(client, name, to)
    moves = settle_aliases(client, name)
    made = next((move for move in moves if move.token == audit.token), None)
    if made is not None:
        return made
    current = registry.aliases(client, name).get("champion")
    if current == to:
        return None
    if current != expected:
        raise ChampionChangedError(
            f"model {name}: the champion is {_describe(current)}; this was decided against {_describe(expected)}, "
            "so nothing was moved"
        )
    append_promotion(client, name, current, to, moves[-1].number if moves else 0, audit)
    moves = read_promotions(client, name)
    made = next((move for move in moves if move.token == audit.token), None)
    if made is None:
        raise ChampionChangedError(
            f"model {name}: a concurrent promotion by {moves[-1].who} made version {moves[-1].to} champion first; "
            "nothing was moved"
        )
    _apply(client, name, made)
    return made.model_copy(update={"applied": True})


def settle_aliases(client: "MlflowClient", name: str) -> list[Promotion]:
    """Wait until the newest promotion is applied to the aliases, or apply it; returns all promotions."""
    deadline = time.monotonic() + LEASE_S
    while True:
        moves = read_promotions(client, name)
        if not moves or moves[-1].applied:
            return moves
        if time.monotonic() >= deadline:
            _apply(client, name, moves[-1])
        else:
            time.sleep(_POLL_S)


def _apply(client: "MlflowClient", name: str, move: Promotion) -> None:
    """Move the aliases as a promotion says, and as a newer one says that was recorded meanwhile."""
    while True:
        if move.source is not None:
            registry.move_alias(client, name, "previous", move.source)
        registry.move_alias(client, name, "champion", move.to)
        _drop_lesser_aliases(client, name, move.to)
        moves = read_promotions(client, name)
        for version in filter(None, (move.source, move.to)):
            describe_promotions(client, name, version, moves)
        mark_applied(client, name, move)
        newest = read_promotions(client, name)[-1]
        if newest.number == move.number:
            return
        move = newest


def _drop_lesser_aliases(client: "MlflowClient", name: str, champion: str) -> None:
    """Remove the aliases candidate and challenger from the champion."""
    held = registry.aliases(client, name)
    lesser: tuple[registry.Alias, ...] = ("candidate", "challenger")
    for alias in lesser:
        if held.get(alias) == champion:
            registry.move_alias(client, name, alias, None)


def _describe(version: str | None) -> str:
    return f"version {version}" if version else "none"
