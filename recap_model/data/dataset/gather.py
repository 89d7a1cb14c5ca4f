"""Gather rows into a batch's tensors: reused memory, copies by one thread or several."""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# What `sys.getrefcount` counts of an array that only a list holds: the list, the loop's name, its own argument.
_UNUSED_REFCOUNT = 3


class BufferPool:
    """A pool of tensors to write into; memory without a remaining tensor or view is reused.

    New memory costs as much as filling it: the kernel hands out zeroed pages one by one.

    Args:
        pin: have them in page-locked memory. There torch itself gives memory out again, once a GPU has read it.
    """

    def __init__(self, pin: bool = False) -> None:
        self._pin = pin
        self._kept: dict[tuple[str, tuple[int, ...]], list[NDArray[np.generic]]] = {}

    def empty(self, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Tensor:
        """A tensor of any content; ``name`` tells those of the same shape and another dtype apart."""
        if self._pin:
            return torch.empty(shape, dtype=_torch(dtype), pin_memory=True)
        kept = self._kept.setdefault((name, shape), [])
        for array in kept:
            if sys.getrefcount(array) == _UNUSED_REFCOUNT:
                return torch.from_numpy(array[:])
        kept.append(np.empty(shape, dtype))
        return torch.from_numpy(kept[-1][:])


def _torch(dtype: np.dtype[np.generic]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype


Array = NDArray[np.generic]


class _Copy(NamedTuple):
    source: Array
    rows: NDArray[np.int64] | None
    out: Array

    def run(self) -> None:
        if self.rows is None:
            self.out[:] = self.source
        else:
            # The numbers are in range; with any other mode numpy would copy once more.
            self.source.take(self.rows, 0, self.out, "clip")


class CopyQueue:
    """Row copies that are queued, then run together on several threads: numpy releases the GIL while it copies."""

    def __init__(self, threads: int):
        self._threads = threads
        self._pending: list[_Copy] = []
        self._until_exit = ExitStack()

    def __enter__(self) -> Self:
        if self._threads > 1:
            self._pool = self._until_exit.enter_context(ThreadPoolExecutor(self._threads - 1, "copies"))
        return self

    def __exit__(self, *error: object) -> None:
        self._until_exit.close()

    def add(self, source: Array, rows: NDArray[np.int64] | None, out: Array) -> None:
        """Queue a copy of these rows of ``source``, or of all, into ``out`` with as many rows."""
        self._pending.append(_Copy(source, rows, out))

    def run(self) -> None:
        """Run the queued copies."""
        pending, self._pending = self._pending, []
        if self._threads == 1:
            _run(pending)
            return
        # Round-robin from the largest, which balances the threads.
        pending.sort(key=lambda copy: copy.out.nbytes, reverse=True)
        chunks = [pending[thread :: self._threads] for thread in range(self._threads)]
        running = [self._pool.submit(_run, chunk) for chunk in chunks[1:]]
        _run(chunks[0])
        for chunk in running:
            chunk.result()


def _run(copy_queue: list[_Copy]) -> None:
    for copy in copy_queue:
        copy.run()
