"""Promoters at the same time, and promoters that are killed before one of their writes."""

import collections
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

from components.common import registry
from components.common.registry.promotion.move_champion import ChampionChangedError, move_champion
from components.common.registry.promotion.promotion_log import Audit, read_promotions
from tests import fork_server
from tests.chaos.processes import Ended, ForkedProcess
from tests.components.registries import new_registry

WORKERS = 8
_WRITES = (
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
)


def new_race(folder: Path, rounds: int) -> str:
    """A registry with enough versions of ``m`` for a race. Returns its URI."""
    uri = new_registry(folder)
    client = registry.connect(uri)
    client.create_registered_model("m")
    for _ in range(1 + WORKERS * rounds):
        client.create_model_version("m", folder.as_uri())
    return uri


def race(uri: str, name: str, rounds: int) -> collections.Counter[str]:
    """Promote eight versions at the same time, each in a process, so many times; version 1 is champion before.

    Returns how often how many promoters won, and how many were told that the champion had changed. Raises
    AssertionError unless one won in each round, and the aliases follow the record.
    """
    client = registry.connect(uri)
    move_champion(client, name, None, "1", Audit(why="first"))
    winners, counts = ["1"], collections.Counter[str]()
    for number in range(rounds):
        first = 2 + number * WORKERS
        outcomes = _promote_at_once(uri, name, winners[-1], range(first, first + WORKERS))
        won = [outcome["won"] for outcome in outcomes if "won" in outcome]
        lost = [outcome for outcome in outcomes if "lost" in outcome]
        assert (len(won), len(lost)) == (1, WORKERS - 1), outcomes
        counts[f"{len(won)} won, {len(lost)} were told that the champion changed"] += 1
        winners += won
    assert [promotion.to for promotion in read_promotions(client, name)] == winners
    assert registry.aliases(client, name) == {"champion": winners[-1], "previous": winners[-2]}
    return counts


def _promote_at_once(uri: str, name: str, expected: str, versions: range) -> list[dict[str, str]]:
    start = fork_server.barrier(len(versions))
    with ThreadPoolExecutor(len(versions)) as pool:
        calls = [
            pool.submit(fork_server.call, _promote, start, uri, name, expected, str(to)) for to in versions
        ]
        return [call.result() for call in calls]


def _promote(start: Barrier, uri: str, name: str, expected: str, to: str) -> dict[str, str]:
    client = registry.connect(uri)
    start.wait()
    try:
        move_champion(client, name, expected, to, Audit(why="race"))
    except ChampionChangedError as error:
        return {"to": to, "lost": str(error)}
    except registry.RegistryError as error:
        return {"to": to, "error": str(error)}
    return {"to": to, "won": to}


def promote_until_write(uri: str, name: str, expected: str, to: str, write: int, output: Path) -> Ended:
    """Promote in a process that gets SIGKILL just before its ``write``-th write to the registry."""
    return ForkedProcess(output, _promote_until_write, uri, name, expected, to, write).wait()


def _promote_until_write(uri: str, name: str, expected: str, to: str, write: int) -> None:
    from mlflow import MlflowClient

    writes = 0

    def counted(method: Any) -> Any:
        def wrapper(*arguments: Any, **fields: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes == write:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments, **fields)

        return wrapper

    client = registry.connect(uri)
    for method in _WRITES:
        setattr(MlflowClient, method, counted(getattr(MlflowClient, method)))
    move_champion(client, name, expected, to, Audit(why="killed"))
