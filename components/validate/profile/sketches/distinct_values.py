"""The number of distinct values of each column of ids or words, by a sketch of bounded memory.

A bottom-k sketch (also: KMV) keeps the k smallest hashes of the values. It counts fewer than k values exactly, and
more with a standard error of about 1/sqrt(k - 2): Bar-Yossef et al., "Counting distinct elements in a data stream",
RANDOM 2002; the unbiased estimate is that of Beyer et al., SIGMOD 2007, section 3. Sketches of any rows merge, in any
order and grouping, to the same one.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.validate.profile.statistics import Flags, Floats
from recap_model.data.log.id_hashing import splitmix64

MOST_HASHES = 1024  # 8 KB for a column, a standard error of 3%
_CANDIDATES = 4 * MOST_HASHES

Hashes = NDArray[np.uint64]
ColumnKey = tuple[str, str]  # a block's key, and the label of one of its positions


@dataclass
class DistinctValues:
    """A sketch for each column; ``hashes`` are sorted, distinct, and at most `MOST_HASHES`."""

    hashes: dict[ColumnKey, Hashes] = field(default_factory=dict)

    def add(self, key: ColumnKey, hashes: Hashes) -> None:
        """Add hashes that `select_smallest` selected."""
        known = self.hashes.get(key)
        self.hashes[key] = hashes if known is None else np.union1d(known, hashes)[:MOST_HASHES]

    def merge(self, other: "DistinctValues") -> None:
        """Add the sketches of other rows."""
        for key, hashes in other.hashes.items():
            self.add(key, hashes)

    def estimate(self, key: ColumnKey) -> tuple[int, bool]:
        """The number of distinct values, and whether it is exact."""
        hashes = self.hashes.get(key, _NO_HASHES)
        if len(hashes) < MOST_HASHES:
            return len(hashes), True
        return round((MOST_HASHES - 1) * 2.0**64 / float(hashes[-1])), False


def select_smallest(hashes: Hashes) -> Hashes:
    """The `MOST_HASHES` smallest of some hashes (values,), sorted and distinct."""
    if len(hashes) > _CANDIDATES:
        # Of many distinct values all that are needed are below this, so the others need not be sorted.
        smallest = np.unique(hashes[hashes < np.uint64(2**64 * _CANDIDATES // len(hashes))])
        if len(smallest) >= MOST_HASHES:
            return smallest[:MOST_HASHES]
    distinct: Hashes = pc.unique(pa.array(hashes)).to_numpy()
    return np.sort(distinct)[:MOST_HASHES]


def hash_values(values: Floats, excluded: Flags | None = None) -> list[Hashes]:
    """Hashes of each position's ids (rows, width) held as float64, NaN and those ``excluded`` aside."""
    left_out = np.isnan(values) if excluded is None else np.isnan(values) | excluded
    return [
        splitmix64(np.ascontiguousarray(column if not out.any() else column[~out]).view(np.uint64))
        for column, out in zip(values.T, left_out.T, strict=True)
    ]


_NO_HASHES: Hashes = np.zeros(0, dtype=np.uint64)
