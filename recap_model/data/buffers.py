"""Memory of batches that nobody holds any more, for the batches that come."""

import sys

import numpy as np
from numpy.typing import NDArray

# What `sys.getrefcount` counts of an array that only a list holds: the list, the loop's name, its own argument.
_UNUSED = 3


class Buffers:
    """Arrays to write into; one that is no longer referred to, by a tensor or a view, is given out again.

    New memory costs as much as filling it: the kernel hands out zeroed pages one by one.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, tuple[int, ...]], list[NDArray[np.generic]]] = {}

    def empty(self, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """An array of any content; ``name`` tells arrays of the same shape and another dtype apart."""
        kept = self._kept.setdefault((name, shape), [])
        for array in kept:
            if sys.getrefcount(array) == _UNUSED:
                return array[:]
        kept.append(np.empty(shape, dtype))
        return kept[-1][:]
