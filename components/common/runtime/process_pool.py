"""Work that is done side by side by processes of this machine, its results in order."""

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
from typing import Any, TypeVar

from components.common.runtime.environment import environment, python_environment

_CAUSES = {
    signal.SIGKILL: "memory ran out, or somebody killed it; give it more memory, or less data, and run again",
    signal.SIGXCPU: "its limit of CPU time (ulimit -t) is used up; raise it and run again",
    signal.SIGXFSZ: "the limit on a file's size (ulimit -f) is reached; raise it and run again",
    signal.SIGBUS: "a file was cut off while it was read, or its disk is full or broken; run again",
    signal.SIGSEGV: "native code crashed; run again, and report it if it comes back",
    signal.SIGABRT: "native code gave up, and its last words are in the log; run again",
}
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_LOOK_S = 1.0

T = TypeVar("T")


def cores() -> int:
    """Cores that this process may use: those it is bound to, or fewer where its container has a limit."""
    bound = len(os.sched_getaffinity(0))
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(bound, int(quota) // int(period)))
    except (OSError, ValueError):
        return bound


def ended_by(number: int) -> str:
    """What it means that this signal ended a process, and what to do."""
    try:
        sent = signal.Signals(number)
    except ValueError:
        return f"ended by signal {number}; run again"
    return f"ended by {sent.name}: {_CAUSES[sent]}" if sent in _CAUSES else f"ended by {sent.name}; run again"


def map_processes(
    work: Callable[..., T], arguments: Sequence[tuple[Any, ...]], processes: int
) -> Iterator[T]:
    """``work`` of each tuple of arguments, in their order, done by so many processes; here if it is one.

    Raises what ``work`` raises, and ChildProcessError if a process was killed.
    """
    if processes == 1:
        yield from (work(*each) for each in arguments)
        return
    # Started afresh: a fork of a process whose threads hold locks (Arrow's, a store's client) may wait for ever.
    context = multiprocessing.get_context("spawn")
    idle: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()

    def at_the_next(*each: Any) -> T:
        process = idle.get()
        try:
            return process.submit(work, *each).result()
        finally:
            idle.put(process)

    with ExitStack() as stack:
        stack.enter_context(environment(python_environment()))
        # Pools of one: a pool of several that loses a process while it starts another one waits for that for ever.
        for _ in range(count := min(processes, len(arguments))):
            pool = ProcessPoolExecutor(1, mp_context=context, initializer=end_with, initargs=(os.getpid(),))
            idle.put(stack.enter_context(pool))
        threads = stack.enter_context(ThreadPoolExecutor(count))
        try:
            yield from threads.map(at_the_next, *zip(*arguments, strict=True))
        except BrokenProcessPool:
            raise ChildProcessError(
                "a process that reads the log was killed, perhaps for want of memory; give the step more of it"
            ) from None


def end_with(parent: int) -> None:
    """Have this process end when its parent, of this id, is gone; the processes of a pool, say, would outlive it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_with_its_run(pipe: str) -> None:
    """Have this process end when the other end of a pipe is closed, because who started it is gone.

    It asks itself to by SIGTERM, as training then writes a checkpoint first.

    Args:
        pipe: "stdin" or "stdout".
    """
    watched, output = getattr(sys, pipe).fileno(), sys.stdout.fileno()

    def watch() -> None:
        gone = select.poll()
        # What is asked for is nothing; that the other end is closed is told all the same.
        gone.register(watched, 0)
        gone.poll()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (output, sys.stderr.fileno()):
            os.dup2(nowhere, stream)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
