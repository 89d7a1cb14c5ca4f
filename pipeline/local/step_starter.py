"""Start the processes of a local run's steps, each forked from a server that has imported what it needs."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any, Self

from components.common.runtime.environment import python_environment
from components.steps import STEPS

_CLOSE_TIMEOUT_S = 1.0
_NEXT = {before.name: after.name for before, after in pairwise(STEPS)}


class StepProcess:
    """A step's process. Leaving its ``with`` block closes its output, on which the step ends, and waits for that.

    Attributes:
        stdout: everything that the step prints.
    """

    def __init__(self, output: int, status: int) -> None:
        self.stdout = open(output, encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by __exit__
        self._status = status
        self._exit_status: int | None = None

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit status; negative for a signal. Raises TimeoutError if the step has not ended by then."""
        if self._exit_status is None:
            if not select.select([self._status], [], [], timeout_s)[0]:
                raise TimeoutError
            # Empty if the monitor was killed along with the step.
            self._exit_status = int(os.read(self._status, 16) or -signal.SIGKILL)
        return self._exit_status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.stdout.close()
        if kind is not KeyboardInterrupt:
            self.wait()
        os.close(self._status)


class StepStarter:
    """Starts each step's process and, ahead of time, has the next one's modules imported.

    Args:
        variables: environment variables of the processes, in addition to this process's.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = dict(variables)
        self._server: subprocess.Popen[bytes] | None = None
        self._requests: Connection[Any, Any] | None = None

    def prepare(self, step: str) -> None:
        """Have a step's modules imported."""
        with contextlib.suppress(BrokenPipeError):  # the server was just killed; `start` starts another
            self._request(step)

    def start(self, step: str, arguments: list[str], variables: Mapping[str, str]) -> StepProcess:
        """Run kfp's executor in a step's process, with these arguments and environment variables."""
        (output, step_output), (status, step_status) = os.pipe(), os.pipe()
        try:
            # If the server was just killed, the missing exit status says so.
            with contextlib.suppress(BrokenPipeError):
                server, requests = self._request(step, arguments, dict(variables))
                for descriptor in (step_output, step_status):
                    send_handle(requests, descriptor, server.pid)
        finally:
            os.close(step_output)
            os.close(step_status)
        if (following := _NEXT.get(step)) is not None:
            self.prepare(following)
        return StepProcess(output, status)

    def close(self) -> None:
        """End the server, at once if it is importing or a step has not ended."""
        if self._requests is not None:
            self._requests.close()
        if self._server is not None:
            try:
                self._server.wait(_CLOSE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()

    def _request(self, *request: object) -> tuple["subprocess.Popen[bytes]", "Connection[Any, Any]"]:
        if self._server is None or self._requests is None or self._server.poll() is not None:
            self.close()
            self._server, self._requests = self._start_server()
        self._requests.send(request)
        return self._server, self._requests

    def _start_server(self) -> tuple["subprocess.Popen[bytes]", "Connection[Any, Any]"]:
        requests, theirs = Pipe()
        environment = {**os.environ, **python_environment(), **self._variables, "_KFP_RUNTIME": "true"}
        with contextlib.closing(theirs):
            server = subprocess.Popen(
                [sys.executable, "-m", "pipeline.local.step_server", str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return server, requests
