"""`recap run` as a process that a test can preempt or kill at a step."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.processes import wait_until

_RECAP = [sys.executable, "-c", "from pipeline.cli import main; main()"]
_POLL_S = 0.05
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class RunEnded:
    """How a run ended. ``error`` is its first error line; ``result`` what it printed, if it succeeded.

    ``peak_mib`` is the largest resident set of its processes.
    """

    status: int
    error: str
    seconds: float
    peak_mib: float
    result: dict[str, Any] = field(default_factory=dict)


class RecapRun:
    """A `recap run --json` in progress."""

    def __init__(self, folder: Path, arguments: list[str], name: str) -> None:
        self._started = time.monotonic()
        self._folder = folder
        self._stderr, self._stdout = folder / f"{name}.err", folder / f"{name}.out"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        with self._stderr.open("w") as stderr, self._stdout.open("w") as stdout:
            self._process = subprocess.Popen(
                [*_RECAP, "run", "--json", *arguments],
                cwd=folder,
                env=environment,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    def preempt_training(self, checkpoints: Path) -> bool:
        """Send SIGTERM to the training once it has written a checkpoint. Returns whether it was sent."""
        if not self._wait_for(checkpoints, "*/*"):
            return False
        trainings = [pid for pid, name in _descendants(self._process.pid) if name == "recap train"]
        for pid in trainings:
            os.kill(pid, signal.SIGTERM)
        return bool(trainings)

    def kill_at(self, step: str, workspace: Path) -> bool:
        """Kill every process of the run once it is in a step. Returns whether it was killed."""
        before = frozenset(workspace.glob(f"runs/*/steps/*/{step}"))
        in_step = self._wait_for(workspace, f"runs/*/steps/*/{step}", before)
        if in_step:
            time.sleep(2.0)  # until the step is at work
            for pid, _ in list(_descendants(self._process.pid)):
                os.kill(pid, signal.SIGKILL)
            os.killpg(self._process.pid, signal.SIGKILL)
        return in_step

    def wait(self) -> RunEnded:
        """Wait for the end."""
        _, waited, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(waited)
        lines = [line for line in self._stderr.read_text().splitlines() if line.startswith("recap: ")]
        done = self._process.returncode == 0
        return RunEnded(
            status=self._process.returncode,
            error=lines[0] if lines else "",
            seconds=time.monotonic() - self._started,
            peak_mib=usage.ru_maxrss / 1024,
            result=json.loads(self._stdout.read_text()) if done else {},
        )

    def _wait_for(self, folder: Path, pattern: str, before: frozenset[Path] = frozenset()) -> bool:
        deadline = time.monotonic() + _TIMEOUT_S
        with suppress(AssertionError):
            wait_until(
                lambda: bool(set(folder.glob(pattern)) - before),
                lambda: self._process.poll() is None and time.monotonic() < deadline,
                _POLL_S,
            )
            return True
        return False


def run_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another `recap` command to its end."""
    return subprocess.run([*_RECAP, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def _descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Processes below a process, with their names."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            name = Path(f"/proc/{child}/comm").read_text().strip()
            below = list(_descendants(int(child)))
        except FileNotFoundError:
            continue
        yield int(child), name
        yield from below
