"""A sample of rows that does not depend on their order: those with the least hashes of their numbers."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from recap_model.data.log.id_hashing import seeded_hash

Number = TypeVar("Number", np.float32, np.float64)


class RowSample(Generic[Number]):
    """Up to ``most`` rows of ``width`` numbers.

    Attributes:
        values: (rows, width).
    """

    def __init__(self, width: int, most: int, seed: int, dtype: type[Number]) -> None:
        self._most, self._seed = most, seed
        self._keys = np.empty(0, dtype=np.uint64)
        self.values: NDArray[Number] = np.empty((0, width), dtype=dtype)

    def add(self, numbers: NDArray[np.int64], values: NDArray[Number]) -> None:
        """Add rows by their numbers in the log."""
        self._keep(seeded_hash(numbers, self._seed), values)

    def merge(self, other: "RowSample[Number]") -> None:
        """Add a sample of other rows."""
        self._keep(other._keys, other.values)

    def _keep(self, keys: NDArray[np.uint64], values: NDArray[Number]) -> None:
        keys, values = np.concatenate([self._keys, keys]), np.concatenate([self.values, values])
        if len(keys) > self._most:
            smallest = np.argpartition(keys, self._most)[: self._most]
            keys, values = keys[smallest], values[smallest]
        self._keys, self.values = keys, values
