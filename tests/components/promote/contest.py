"""Processes that promote: at once, or killed half-way. A script, so that workers are forked before MLflow connects.

``contest.py race URI NAME FROM WORKERS ROUNDS``: in each round each worker promotes a version of its own, all
expecting the champion of the round before; versions from 2 on are the workers', so many for each round.
``contest.py kill URI NAME FROM TO CALL``: promote, and be killed by SIGKILL just before the registry's CALL-th call.
"""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from components.common import registry
from components.promote.move_champion import ChampionChangedError, move_champion
from components.promote.promotion_log import Audit
from tests.components.registries import new_registry

WRITES = (
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
)


def race(uri: str, name: str, expected: str, workers: str, rounds: str) -> None:
    with tempfile.TemporaryDirectory() as other:
        # Imports all that the workers use; to the contest's registry nobody connects before they are forked.
        registry.connect(new_registry(Path(other)))
    for number in range(int(rounds)):
        outcomes = _round(
            uri, name, expected, range(2 + number * int(workers), 2 + (number + 1) * int(workers))
        )
        print(json.dumps(outcomes), flush=True)  # noqa: T201
        expected = next((outcome["won"] for outcome in outcomes if "won" in outcome), expected)


def _round(uri: str, name: str, expected: str, versions: range) -> list[dict[str, str]]:
    read_end, write_end = os.pipe()
    start_read, start_write = os.pipe()
    children = []
    for version in versions:
        child = os.fork()
        if child == 0:
            os.close(start_write)
            client = registry.connect(uri)
            os.read(start_read, 1)  # ends when the parent closes its end: all start at once
            outcome = _promote(client, name, expected, str(version))
            os.write(write_end, (json.dumps(outcome) + "\n").encode())
            os._exit(0)
        children.append(child)
    os.close(start_read)
    os.close(write_end)
    os.close(start_write)
    for child in children:
        os.waitpid(child, 0)
    with os.fdopen(read_end) as outcomes:
        return [json.loads(line) for line in outcomes]


def _promote(client: object, name: str, expected: str, to: str) -> dict[str, str]:
    try:
        move_champion(client, name, expected, to, Audit(why="race"))  # type: ignore[arg-type]
    except ChampionChangedError as moved:
        return {"to": to, "lost": str(moved)}
    except registry.RegistryError as error:
        return {"to": to, "error": str(error)}
    return {"to": to, "won": to}


def kill(uri: str, name: str, expected: str, to: str, call: str) -> None:
    from mlflow import MlflowClient

    calls = 0

    def counted(method: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == int(call):
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*args, **kwargs)

        return wrapper

    client = registry.connect(uri)
    for write in WRITES:
        setattr(MlflowClient, write, counted(getattr(MlflowClient, write)))
    move_champion(client, name, expected, to, Audit(why="kill"))


if __name__ == "__main__":
    {"race": race, "kill": kill}[sys.argv[1]](*sys.argv[2:])
