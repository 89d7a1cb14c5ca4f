"""Work that is done side by side by processes of this machine, its results in order."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

_QUOTA = Path("/sys/fs/cgroup/cpu.max")

T = TypeVar("T")


def cores() -> int:
    """Cores that this process may use: those it is bound to, or fewer where its container has a limit."""
    bound = len(os.sched_getaffinity(0))
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(bound, int(quota) // int(period)))
    except (OSError, ValueError):
        return bound


def side_by_side(work: Callable[..., T], arguments: Sequence[tuple[Any, ...]], processes: int) -> Iterator[T]:
    """``work`` of each tuple of arguments, in their order, done by so many processes; here if it is one.

    Raises what ``work`` raises, and ChildProcessError if a process was killed.
    """
    if processes == 1:
        yield from (work(*each) for each in arguments)
        return
    # Started afresh: a fork of a process whose threads hold locks (Arrow's, a store's client) may wait for ever.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(arguments)), mp_context=context)
    try:
        yield from pool.map(work, *zip(*arguments, strict=True))
    except (BrokenProcessPool, OSError) as error:
        # A pool that breaks while its other processes start says so by an OSError without a number.
        if isinstance(error, OSError) and str(error) != "handle is closed":
            raise
        raise ChildProcessError(
            "a process that reads the log was killed, perhaps for want of memory; give the step more of it"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
