"""Start the processes of a local run's steps ahead of time."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise

from components.common.runtime.environment import python_environment
from components.steps import STEP_NAMES


class StepStarter:
    """Starts each step's process and, ahead of time, the next one's, which preloads its modules and waits.

    Args:
        variables: environment variables of the processes, in addition to this process's.
        names: of the steps, in their order.
    """

    def __init__(self, variables: Mapping[str, str], names: Sequence[str] = STEP_NAMES) -> None:
        self._variables = dict(variables)
        self._next = dict(pairwise(names))
        self._waiting: dict[str, subprocess.Popen[str]] = {}

    def prepare(self, step: str) -> None:
        """Start a step's process, which preloads its modules and waits."""
        environment = {**os.environ, **python_environment(), **self._variables, "_KFP_RUNTIME": "true"}
        self._waiting[step] = subprocess.Popen(
            [sys.executable, "-m", "pipeline.local.step_main", step],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )

    def start(self, step: str, arguments: list[str], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        """Run kfp's executor in a step's process, with these arguments and environment variables."""
        ready = self._waiting.get(step)
        if ready is not None and ready.poll() is not None:
            _end(self._waiting.pop(step))
        if step not in self._waiting:
            self.prepare(step)
        process = self._waiting.pop(step)
        assert process.stdin is not None
        # If the process was just killed, its exit status says so.
        with contextlib.suppress(BrokenPipeError), process.stdin as request:
            request.write(json.dumps([arguments, dict(variables)]) + "\n")
        following = self._next.get(step)
        if following is not None and following not in self._waiting:
            self.prepare(following)
        return process

    def close(self) -> None:
        """Kill the waiting processes."""
        for process in self._waiting.values():
            _end(process)
        self._waiting.clear()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    with contextlib.suppress(BrokenPipeError), process:
        pass
