"""Work in processes of its own: started from a server that has loaded everything, killed when asked."""

import importlib
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from components.common import registry
from components.common.runtime.step import step as door
from tests import fork_server
from tests.faults.place import Place

_NOBODY = 65534
_SHIFTED = ("components.promote.promotion_log", "components.common.runtime.webhook")


@dataclass(frozen=True)
class Ended:
    """How a step's process ended: its exit status (negative: by a signal), and what it printed."""

    status: int
    said: str
    seconds: float

    @property
    def errors(self) -> list[str]:
        """What the step says is wrong, a line each."""
        lines = (line.partition("recap-error: ") for line in self.said.splitlines())
        return [words for _, mark, words in lines if mark]


def done(step: str, place: Path, uri: str, **how: Any) -> Ended:
    """Do a step in a process.

    Args:
        uri: of the registry.
        how: ``signal`` and ``after_s``: sent to the process then, if it is still there; ``nobody``: as a user who
            owns nothing; ``days``: the clock is off by as many; ``environment``: of it, beside the tests' own.
    """
    sent, after_s = how.pop("signal", None), how.pop("after_s", 0.0)
    log = place / "said"
    began = time.perf_counter()
    process = fork_server.start(_step, step, place, uri, log, how)
    if sent is not None:
        process.join(after_s)
        # It may end between the look and the signal.
        with suppress(ProcessLookupError):
            if process.is_alive():
                os.kill(process.pid or 0, sent)
    process.join(120)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"{step} hangs:\n{log.read_text()}")
    return Ended(process.exitcode or 0, log.read_text(), time.perf_counter() - began)


def prepared(place: Path, uri: str | None) -> None:
    """Prepare a place."""
    place.mkdir(exist_ok=True)
    _write_to(place / "said")
    Place(place, uri).prepare()


def new_run(uri: str) -> str:
    """The id of a run of MLflow's, made for what is told to it."""
    client = registry.connect(uri)
    return str(client.create_run(client.create_experiment("told")).info.run_id)


def put_back(place: Path, uri: str | None, step: str) -> None:
    """Have nothing of a step's done."""
    Place(place, uri).put_back(step)


def outcome(place: Path, uri: str | None, step: str) -> dict[str, Any]:
    """What a step has left."""
    return Place(place, uri).outcome(step)


def _step(step: str, place: Path, uri: str, log: Path, how: dict[str, Any]) -> None:
    _write_to(log)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(how.get("environment", {}))
    if how.get("days"):
        _shift_clock(how["days"])
    if how.get("nobody"):
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    with door(step):
        Place(place, uri).run(step)


def _write_to(log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)


def _shift_clock(days: float) -> None:
    now, whole = time.time, time.time_ns

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=days)

    time.time = lambda: now() + days * 86_400
    time.time_ns = lambda: whole() + int(days * 86_400_000_000_000)
    for name in _SHIFTED:
        importlib.import_module(name).datetime = Shifted  # type: ignore[attr-defined]
