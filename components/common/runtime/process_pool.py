"""Parallel work in processes of this machine, with results in order; processes that exit with their parent."""

import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self, TypeVar

from components.common.runtime.environment import environment, python_environment

_CAUSES = {
    signal.SIGKILL: "out of memory, or killed by another process; give it more memory or less data, and run again",
    signal.SIGXCPU: "its limit of CPU time (ulimit -t) is used up; raise it and run again",
    signal.SIGXFSZ: "the limit on a file's size (ulimit -f) is reached; raise it and run again",
    signal.SIGBUS: "a file was truncated while it was read, or its disk is full or broken; run again",
    signal.SIGSEGV: "native code crashed; run again, and report it if it happens again",
    signal.SIGABRT: "native code aborted, and its last output is in the log; run again",
}
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_POLL_S = 1.0

T = TypeVar("T")


def cores() -> int:
    """Number of cores that this process may use: its CPU affinity, or its container's quota if that is lower."""
    bound = len(os.sched_getaffinity(0))
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(bound, int(quota) // int(period)))
    except (OSError, ValueError):
        return bound


def describe_signal(number: int) -> str:
    """The likely cause of a process's end by this signal, and what to do."""
    try:
        sent = signal.Signals(number)
    except ValueError:
        return f"ended by signal {number}; run again"
    return f"ended by {sent.name}: {_CAUSES[sent]}" if sent in _CAUSES else f"ended by {sent.name}; run again"


class ProcessPool:
    """Processes that are started when they are first needed, and end with the pool's ``with`` block.

    Args:
        processes: how many; with 1 the work is done in this process.
    """

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._idle: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        self._started = 0
        self._until_exit = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._until_exit.close()

    def map(self, work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> Iterator[T]:
        """Apply ``work`` to each tuple of arguments; results in order.

        Raises what ``work`` raises, and ChildProcessError if a process was killed; the pool is then of no more use.
        """
        if self.processes == 1:
            yield from (work(*each) for each in arguments)
            return
        count = min(self.processes, len(arguments))
        self._start(count)
        with ThreadPoolExecutor(max(1, count)) as threads:
            try:
                yield from threads.map(self._run_on_idle, [work] * len(arguments), arguments)
            except BrokenProcessPool:
                raise ChildProcessError(
                    "a process that reads the log was killed, probably out of memory; give the step more memory"
                ) from None

    def _start(self, count: int) -> None:
        # Spawned: a fork of a process whose threads hold locks (Arrow's, a store client's) may deadlock.
        context = multiprocessing.get_context("spawn")
        if not self._started:
            self._until_exit.enter_context(environment(python_environment()))
        # Pools of one process: a larger pool that loses a process while it starts another one deadlocks.
        for _ in range(self._started, count):
            pool = ProcessPoolExecutor(
                1, mp_context=context, initializer=exit_with_parent, initargs=(os.getpid(),)
            )
            self._idle.put(self._until_exit.enter_context(pool))
            self._started += 1

    def _run_on_idle(self, work: Callable[..., T], each: tuple[Any, ...]) -> T:
        process = self._idle.get()
        try:
            return process.submit(work, *each).result()
        finally:
            self._idle.put(process)


def exit_with_parent(parent: int) -> None:
    """Exit this process when its parent with this id has ended; a pool's processes would outlive it otherwise."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def exit_with_run(pipe: str) -> None:
    """Exit this process when the other end of a pipe is closed, because the process that started it has ended.

    By SIGTERM, so that training writes a checkpoint first.

    Args:
        pipe: "stdin" or "stdout".
    """
    watched, output = getattr(sys, pipe).fileno(), sys.stdout.fileno()

    def watch() -> None:
        gone = select.poll()
        # No events are requested; a closed other end (POLLHUP, POLLERR) is always reported.
        gone.register(watched, 0)
        gone.poll()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (output, sys.stderr.fileno()):
            os.dup2(nowhere, stream)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
