"""Runs of the pipeline as processes: started, watched, preempted, killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_RECAP = [sys.executable, "-c", "from pipeline.cli import main; main()"]
_POLL_S = 0.05
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Ended:
    """How a run ended. ``said`` is its first line on standard error; ``result`` what it printed, if it succeeded.

    ``peak_mib`` is the largest resident set of its processes.
    """

    status: int
    said: str
    seconds: float
    peak_mib: float
    result: dict[str, Any] = field(default_factory=dict)


class Run:
    """A `recap run --json` that is under way."""

    def __init__(self, folder: Path, arguments: list[str], name: str) -> None:
        self._started = time.monotonic()
        self._folder = folder
        self._said, self._printed = folder / f"{name}.err", folder / f"{name}.out"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        with self._said.open("w") as said, self._printed.open("w") as printed:
            self._process = subprocess.Popen(
                [*_RECAP, "run", "--json", *arguments],
                cwd=folder,
                env=environment,
                stdout=printed,
                stderr=said,
                start_new_session=True,
            )

    def preempt_training(self, checkpoints: Path) -> bool:
        """Send SIGTERM to the training once it has written a checkpoint; whether it came to that."""
        if not self._wait_for(checkpoints, "*/*"):
            return False
        trainings = [pid for pid, command in _descendants(self._process.pid) if "train" in command]
        for pid in trainings:
            os.kill(pid, signal.SIGTERM)
        return bool(trainings)

    def kill_at(self, step: str, workspace: Path) -> bool:
        """Kill the run's every process as soon as it is at a step; whether it came to that."""
        before = frozenset(workspace.glob(f"runs/*/steps/*/{step}"))
        there = self._wait_for(workspace, f"runs/*/steps/*/{step}", before)
        if there:
            time.sleep(2.0)  # into the step's work
            for pid, _ in list(_descendants(self._process.pid)):
                os.kill(pid, signal.SIGKILL)
            os.killpg(self._process.pid, signal.SIGKILL)
        return there

    def wait(self) -> Ended:
        """Wait for the end."""
        _, waited, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(waited)
        said = self._said.read_text().splitlines()
        lines = [line for line in said if line.startswith("recap: ")]
        done = self._process.returncode == 0
        return Ended(
            status=self._process.returncode,
            said=lines[0] if lines else "",
            seconds=time.monotonic() - self._started,
            peak_mib=usage.ru_maxrss / 1024,
            result=json.loads(self._printed.read_text()) if done else {},
        )

    def _wait_for(self, folder: Path, pattern: str, before: frozenset[Path] = frozenset()) -> bool:
        deadline = time.monotonic() + _PATIENCE_S
        while not set(folder.glob(pattern)) - before:
            if self._process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Another command of `recap`, to its end."""
    return subprocess.run([*_RECAP, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def _descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Processes below a process, with their command lines."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            below = list(_descendants(int(child)))
        except FileNotFoundError:
            continue
        yield int(child), line
        yield from below
