"""Histograms whose bins are fixed beforehand, so that any two of them compare and add up, whatever their values.

A number falls into a bin by its sign, its power of two and the next four bits of its mantissa, which are the upper 16
bits of a float64: sixteen bins between a number and its double, each 3% to 6% of its values wide. What is nearer to
zero than 2**-64 counts as zero, what is beyond 2**96 falls into the outermost bins. An id from 0 to 1023 has its own
bin, any other is hashed into one of 1024 more.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.validate.profile.statistics import Counts, Flags, Floats
from recap_model.data.log.id_hashing import splitmix64

_MANTISSA_BITS = 4
_MIN_EXPONENT, _MAX_EXPONENT = -64, 96
_PER_SIGN = (_MAX_EXPONENT - _MIN_EXPONENT) << _MANTISSA_BITS
ZERO_BIN = _PER_SIGN
NUMBER_BINS = 2 * _PER_SIGN + 1
EXACT_IDS, _HASHED_BINS = 1024, 1024
ID_BINS = EXACT_IDS + _HASHED_BINS
ID_BUCKETS = 4096
_STRIDE = 8192  # of a position's cells; more than the bins of either kind
_CELLS_PER_CHUNK = 1 << 18


def _build_bin_table() -> NDArray[np.int32]:
    upper = np.arange(1 << 16)
    first = (1023 + _MIN_EXPONENT) << _MANTISSA_BITS
    magnitude = np.clip((upper & 0x7FFF) - first + 1, 0, _PER_SIGN)
    bins = np.where(upper >> 15, -magnitude, magnitude) + ZERO_BIN
    not_finite = (upper & 0x7FF0) == 0x7FF0
    return np.where(not_finite, NUMBER_BINS, bins).astype(np.int32)


_BINS = _build_bin_table()


@dataclass(frozen=True, eq=False)
class Histograms:
    """Histograms of a block's positions: the cells with a count in them, in order.

    Attributes:
        cells: (cells,) position times 8192 plus bin.
        counts: (cells,) values in each.
    """

    cells: Counts
    counts: Counts

    @classmethod
    def empty(cls) -> "Histograms":
        """Histograms of no value."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

    def select(self, position: int) -> tuple[Counts, Counts]:
        """Bins and counts of one position."""
        first, end = np.searchsorted(self.cells, (position * _STRIDE, (position + 1) * _STRIDE))
        return self.cells[first:end] - position * _STRIDE, self.counts[first:end]

    @classmethod
    def join(cls, positions: list[tuple[Counts, Counts]]) -> "Histograms":
        """From the bins and counts of each position."""
        cells = [bins + position * _STRIDE for position, (bins, _) in enumerate(positions)]
        return cls(np.concatenate(cells), np.concatenate([counts for _, counts in positions]))

    def __add__(self, other: "Histograms") -> "Histograms":
        if not len(self.cells) or not len(other.cells):
            return self if len(self.cells) else other
        cells = np.concatenate([self.cells, other.cells])
        order = np.argsort(cells, kind="stable")
        cells, counts = cells[order], np.concatenate([self.counts, other.counts])[order]
        starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
        return Histograms(cells[starts], np.add.reduceat(counts, starts))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histograms)
            and np.array_equal(self.cells, other.cells)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]


def count_numbers(values: Floats, excluded: Flags | None = None) -> Histograms:
    """Histograms of the finite values, (rows, width) in either memory order, but for those ``excluded``."""
    return _count_bins(values, excluded, NUMBER_BINS, assign_number_bins)


def count_ids(values: Floats, excluded: Flags | None = None) -> Histograms:
    """Histograms of ids held as float64, (rows, width); NaN and those ``excluded`` are not counted."""
    return _count_bins(values, excluded, ID_BINS, assign_id_bins)


def count_id_buckets(hashes: list[NDArray[np.uint64]]) -> Histograms:
    """Count rows in 4096 buckets of each position's hashed ids, for `estimate_cardinality`."""
    bins = [
        np.bincount((hashed % np.uint64(ID_BUCKETS)).astype(np.int64), minlength=ID_BUCKETS)
        for hashed in hashes
    ]
    return Histograms.join([(np.flatnonzero(counts), counts[counts > 0]) for counts in bins])


def estimate_cardinality(bins: Counts) -> float:
    """The number of distinct ids that fell into these of the 4096 buckets; at most about 34,000.

    Linear counting: Whang, Vander-Zanden and Taylor, ACM Trans. Database Systems 15(2), 1990.
    """
    empty = ID_BUCKETS - len(bins)
    return ID_BUCKETS * math.log(ID_BUCKETS / max(empty, 1))


def assign_number_bins(values: Floats) -> NDArray[np.int32]:
    """The bin of each number of a contiguous array; one more than there are bins for NaN and infinities."""
    upper = values.view(np.uint16).reshape(*values.shape, 4)[..., 3]
    return _BINS[upper]


def assign_id_bins(values: Floats) -> NDArray[np.int32]:
    """The bin of each id of a contiguous array; one more than there are bins for NaN and infinities."""
    exact = (values >= 0.0) & (values < EXACT_IDS)
    with np.errstate(invalid="ignore"):
        exact_bins = np.where(exact, values, 0.0).astype(np.int32)
    hashed = (EXACT_IDS + splitmix64(values.view(np.uint64)) % np.uint64(_HASHED_BINS)).astype(np.int32)
    return np.where(np.isfinite(values), np.where(exact, exact_bins, hashed), ID_BINS).astype(np.int32)


def lower_edges(bins: Counts) -> Floats:
    """The end of each bin of numbers that is nearer to zero; 0 for the bin around zero.

    >>> lower_edges(assign_number_bins(np.array([-1.01, 0.0, 1.99]))).tolist()
    [-1.0, 0.0, 1.9375]
    """
    magnitude = np.abs(bins - ZERO_BIN)
    upper = magnitude - 1 + ((1023 + _MIN_EXPONENT) << _MANTISSA_BITS)
    edges = (upper.astype(np.uint64) << np.uint64(48)).view(np.float64)
    signed: Floats = np.where(magnitude == 0, 0.0, np.where(bins < ZERO_BIN, -edges, edges))
    return signed


def _count_bins(
    values: Floats, excluded: Flags | None, bins: int, assign_bins: Callable[[Floats], NDArray[np.int32]]
) -> Histograms:
    rows, width = values.shape
    columns_per_chunk = max(1, _CELLS_PER_CHUNK // max(rows, bins))
    chunks = []
    for first in range(0, width, columns_per_chunk):
        chunk = np.ascontiguousarray(values[:, first : first + columns_per_chunk].T)
        assigned = assign_bins(chunk)
        if excluded is not None:
            assigned[excluded[:, first : first + columns_per_chunk].T] = bins
        assigned = assigned + (bins + 1) * np.arange(len(chunk), dtype=np.int32)[:, np.newaxis]
        dense = np.bincount(assigned.ravel(), minlength=(bins + 1) * len(chunk)).reshape(len(chunk), bins + 1)
        positions, cells = np.nonzero(dense[:, :bins])
        chunks.append(Histograms((first + positions) * _STRIDE + cells, dense[positions, cells]))
    return Histograms(
        np.concatenate([chunk.cells for chunk in chunks]), np.concatenate([chunk.counts for chunk in chunks])
    )
