"""Workers of a study on one machine: each has a lock, so that the trials of a killed one are taken over."""

import fcntl
import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MAX_WORKERS = 1000


@dataclass(frozen=True)
class PodWorker:
    """Worker ``number`` of ``count`` on a cluster, where a pod sees no other's locks.

    Each has the trials of some numbers for its own, so that no two claim the same one.
    """

    number: int
    count: int

    @property
    def name(self) -> str:
        return f"worker-{self.number}"

    def is_abandoned(self, owner: str) -> bool:
        """Whether this worker's own pod, which was started again, began it."""
        return owner == self.name

    def next_number(self, taken: set[int]) -> int:
        """The least of its own numbers that is not taken. Number 0 is the reference's."""
        return next(number for number in itertools.count(1 + self.number, self.count) if number not in taken)


class Worker:
    """This process as a worker of a study; ``name`` is unique among running workers."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self.name = f"{socket.gethostname()}/{number}"

    def is_abandoned(self, owner: str) -> bool:
        """Whether no process runs what ``owner`` ran: it is this worker itself, or one of this machine that ended.

        Of another machine's worker nothing is known; its trials are left to it.
        """
        host, _, number = owner.rpartition("/")
        if owner == self.name:
            return True
        if host != socket.gethostname() or not number.isdigit():
            return False
        handle = _lock(self._folder / f"{number}.lock")
        if handle is None:
            return False
        os.close(handle)
        return True

    def next_number(self, taken: set[int]) -> int:
        """The number after the highest that is taken."""
        return 1 + max(taken, default=0)


@contextmanager
def join_study(folder: Path) -> Iterator[Worker]:
    """Become the worker with the least free number, for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(_MAX_WORKERS):
        handle = _lock(folder / f"{number}.lock")
        if handle is not None:
            try:
                yield Worker(folder, number)
            finally:
                os.close(handle)
            return
    raise OSError(f"{folder}: {_MAX_WORKERS} workers run this study; wait until one has ended")


def _lock(path: Path) -> int | None:
    """The handle of a locked file, which the system unlocks when the process ends; None if another has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
