"""Functions in processes of their own, which a test can signal, and whose output it can read."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import fork_server

_TIMEOUT_S = 120.0
_POLL_S = 0.01


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status (negative: by a signal), and what it printed."""

    status: int
    output: str
    seconds: float

    @property
    def errors(self) -> list[str]:
        """The step's error lines, without their mark."""
        lines = (line.partition("recap-error: ") for line in self.output.splitlines())
        return [words for _, mark, words in lines if mark]


class ForkedProcess:
    """A process forked from a server that has imported everything (`tests.fork_server`).

    Args:
        output: a file for what the process prints.
        work: a function of a module, called with ``arguments`` in the process.
    """

    def __init__(self, output: Path, work: Callable[..., None], *arguments: Any) -> None:
        self._output = output
        self._started = time.perf_counter()
        self._process = fork_server.start(_run, output, work, arguments)

    def wait_for_file(self, folder: Path, pattern: str) -> None:
        """Wait until a file below a folder matches. Raises AssertionError if the process ends before."""
        wait_until(lambda: any(folder.rglob(pattern)), self._process.is_alive)

    def stop(self, number: signal.Signals, after_s: float = 0.0) -> Ended:
        """Send a signal after a delay, unless the process has ended by then, and wait for the end."""
        self._process.join(after_s)
        # It may end between the two calls.
        with suppress(ProcessLookupError):
            if self._process.is_alive():
                os.kill(self._process.pid or 0, number)
        return self.wait()

    def wait(self) -> Ended:
        """Wait for the end. Raises AssertionError, and kills the process, after two minutes."""
        self._process.join(_TIMEOUT_S)
        output = self._output.read_text() if self._output.is_file() else ""
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            raise AssertionError(f"no end after {_TIMEOUT_S:.0f} s:\n{output}")
        return Ended(self._process.exitcode or 0, output, time.perf_counter() - self._started)


def wait_until(condition: Callable[[], bool], alive: Callable[[], bool], poll_s: float = _POLL_S) -> None:
    """Wait for a condition. Raises AssertionError if what should bring it about is not alive any more."""
    while not condition():
        if not alive():
            assert condition(), "the process ended before"
            return
        time.sleep(poll_s)


def _run(output: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    work(*arguments)
