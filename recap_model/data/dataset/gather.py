"""Copies of rows from where they are mapped into a batch, by one thread or several."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


class _Copy(NamedTuple):
    source: Array
    places: NDArray[np.int64] | None
    out: Array

    def make(self) -> None:
        if self.places is None:
            self.out[:] = self.source
        else:
            # The numbers are in range; with any other mode numpy would copy once more.
            self.source.take(self.places, 0, self.out, "clip")


class Copies:
    """Copies that are noted one by one, and made all at once: numpy lets other threads run while it copies."""

    def __init__(self, threads: int):
        self._threads = threads
        self._noted: list[_Copy] = []
        self._until_exit = ExitStack()

    def __enter__(self) -> Self:
        if self._threads > 1:
            self._others = self._until_exit.enter_context(ThreadPoolExecutor(self._threads - 1, "copies"))
        return self

    def __exit__(self, *error: object) -> None:
        self._until_exit.close()

    def add(self, source: Array, places: NDArray[np.int64] | None, out: Array) -> None:
        """Note that these rows of ``source``, or all of them, are to be in ``out``, of the same number of rows."""
        self._noted.append(_Copy(source, places, out))

    def make(self) -> None:
        """Make the copies that were noted."""
        noted, self._noted = self._noted, []
        if self._threads == 1:
            _make(noted)
            return
        # Dealt out from the largest on, so that all threads have about as much.
        noted.sort(key=lambda copy: copy.out.nbytes, reverse=True)
        shares = [noted[thread :: self._threads] for thread in range(self._threads)]
        running = [self._others.submit(_make, share) for share in shares[1:]]
        _make(shares[0])
        for share in running:
            share.result()


def _make(copies: list[_Copy]) -> None:
    for copy in copies:
        copy.make()
