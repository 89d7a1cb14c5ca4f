"""Memory of batches that nobody holds any more, for the batches that come."""

import sys

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# What `sys.getrefcount` counts of an array that only a list holds: the list, the loop's name, its own argument.
_UNUSED = 3


class Buffers:
    """Tensors to write into; memory that is no longer referred to, by a tensor or a view, is given out again.

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
            if sys.getrefcount(array) == _UNUSED:
                return torch.from_numpy(array[:])
        kept.append(np.empty(shape, dtype))
        return torch.from_numpy(kept[-1][:])


def _torch(dtype: np.dtype[np.generic]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
