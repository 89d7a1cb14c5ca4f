"""Start the processes of a local run's steps ahead of time."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Self

from components.common.runtime.environment import python_environment
from components.steps import STEP_NAMES, STEP_OF_NAME
from pipeline.local.step_server import StepPipes

_GET_READY = "\n"
_AT_ONCE = 4096  # bytes


class StepStarter:
    """Starts the servers that steps are forked from, and hands each step's process its request.

    Args:
        variables: environment variables of the processes, in addition to this process's.
        names: of the steps, in their order.
    """

    def __init__(self, variables: Mapping[str, str], names: Sequence[str] = STEP_NAMES) -> None:
        self._variables = dict(variables)
        self._names = list(names)
        self._next = dict(pairwise(names))
        self._servers: list[_Server] = []
        self._waiting: dict[str, StepProcess] = {}

    def prepare(self) -> None:
        """Start all steps' processes, which wait for their turn.

        From two servers, on a core each: Great Expectations takes as long to import as MLflow and torch.
        """
        data = [name for name in self._names if name in STEP_OF_NAME and STEP_OF_NAME[name].image == "data"]
        self._start_server([name for name in self._names if name not in data])
        # Prepare first: its process needs none of the large libraries that validate needs.
        self._start_server(data[::-1])

    def start(self, step: str, arguments: list[str], variables: Mapping[str, str]) -> "StepProcess":
        """Run kfp's executor in a step's process, with these arguments and environment variables."""
        process = self._waiting.pop(step, None)
        # Not there at a retry; ended if it was killed while it waited.
        if process is None or process.poll() is not None:
            if process is not None:
                process.close()
            self._start_server([step])
            process = self._waiting.pop(step)
        process.send(_GET_READY, json.dumps([arguments, dict(variables)]) + "\n")
        if (following := self._waiting.get(self._next.get(step, ""))) is not None:
            following.send(_GET_READY)
        return process

    def close(self) -> None:
        """Kill the servers; the waiting processes end when their pipes are closed."""
        for process in self._waiting.values():
            process.close()
        self._waiting.clear()
        for server in self._servers:
            server.kill()

    def _start_server(self, names: Sequence[str]) -> None:
        if not names:
            return
        environment = {**os.environ, **python_environment(), **self._variables, "_KFP_RUNTIME": "true"}
        server = _Server(names, environment)
        self._servers.append(server)
        self._waiting.update(server.processes)


class StepProcess:
    """A step's process, with the methods of `subprocess.Popen` that a run uses.

    Attributes:
        stdout: what it prints.
        returncode: its exit status once it is known, negative for the signal that ended it.
    """

    def __init__(self, name: str, server: "_Server", request: int, output: int) -> None:
        self.name = name
        self.stdout = open(output, encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by `close`
        self.returncode: int | None = None
        self._server = server
        self._request = open(request, "w", encoding="utf-8")  # noqa: SIM115 - closed by `close`
        self._is_ready = False

    def send(self, *lines: str) -> None:
        """Send lines; "get ready" only once. If the process was just killed, its exit status says so."""
        with contextlib.suppress(BrokenPipeError):
            for line in lines:
                if line == _GET_READY and self._is_ready:
                    continue
                self._is_ready = True
                self._request.write(line)
                self._request.flush()

    def poll(self) -> int | None:
        """The exit status if the process has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0.0)
        return None

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the process's end; returns the exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self.returncode = self._server.exit_status(self.name, timeout_s)
        return self.returncode

    def close(self) -> None:
        """Close the pipes, which ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self._request.close()
        self.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        self.wait()


class _Server:
    """A server of steps' processes."""

    def __init__(self, names: Sequence[str], environment: Mapping[str, str]) -> None:
        self.processes: dict[str, StepProcess] = {}
        self._statuses: dict[str, int] = {}
        theirs = []
        for name in names:
            (request, requests), (output, printed) = os.pipe(), os.pipe()
            theirs.append(StepPipes(name, request, printed))
            self.processes[name] = StepProcess(name, self, requests, output)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.local.step_server", *(pipes.argument() for pipes in theirs)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[number for pipes in theirs for number in (pipes.request, pipes.output)],
            bufsize=0,
        )
        for pipes in theirs:
            pipes.close()

    def exit_status(self, name: str, timeout_s: float | None) -> int:
        """Wait for the end of a step's process. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while name not in self._statuses:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._read_statuses(left_s):
                raise subprocess.TimeoutExpired(name, timeout_s or 0.0)
        return self._statuses[name]

    def kill(self) -> None:
        """Kill the server."""
        self._process.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()

    def _read_statuses(self, timeout_s: float | None) -> bool:
        """Read the statuses of processes that have ended; returns whether there were any within the time."""
        assert self._process.stdout is not None
        number = self._process.stdout.fileno()
        if not select.select([number], [], [], timeout_s)[0]:
            return False
        # The server writes whole lines, which are shorter than what a pipe passes on at once.
        lines = os.read(number, _AT_ONCE).decode().splitlines()
        for line in lines:
            name, _, status = line.partition(" ")
            self._statuses[name] = int(status)
        if not lines:
            # The server was killed: nobody can say how its processes end.
            unknown = self._process.wait() or 1
            self._statuses = dict.fromkeys(self.processes, unknown) | self._statuses
        return True
