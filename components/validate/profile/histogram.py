"""Histograms whose bins are fixed beforehand, so that any two of them compare and add up, whatever their values.

A number falls into a bin by its sign, its power of two and the next four bits of its mantissa, which are the upper 16
bits of a float64: sixteen bins between a number and its double, each 3% to 6% of its values wide. What is nearer to
zero than 2**-64 counts as zero, what is beyond 2**96 falls into the outermost bins. An id from 0 to 1023 has a bin of
its own, any other is hashed into one of 1024 more.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.validate.profile.statistics import Counts, Flags, Floats
from recap_model.data.log.id_hashing import splitmix64

_MANTISSA_BITS = 4
_LEAST, _GREATEST = -64, 96  # powers of two
_PER_SIGN = (_GREATEST - _LEAST) << _MANTISSA_BITS
ZERO_BIN = _PER_SIGN
NUMBER_BINS = 2 * _PER_SIGN + 1
OWN_IDS, _HASHED_IDS = 1024, 1024
ID_BINS = OWN_IDS + _HASHED_IDS
UNIT_BINS = 4096
_STRIDE = 8192  # of a position's cells; more than the bins of either kind
_CELLS_AT_ONCE = 1 << 18


def _bins_of_upper_bits() -> NDArray[np.int32]:
    upper = np.arange(1 << 16)
    first = (1023 + _LEAST) << _MANTISSA_BITS
    magnitude = np.clip((upper & 0x7FFF) - first + 1, 0, _PER_SIGN)
    bins = np.where(upper >> 15, -magnitude, magnitude) + ZERO_BIN
    not_finite = (upper & 0x7FF0) == 0x7FF0
    return np.where(not_finite, NUMBER_BINS, bins).astype(np.int32)


_BINS = _bins_of_upper_bits()


@dataclass(frozen=True, eq=False)
class Sketch:
    """Histograms of a block's positions: the cells with a count in them, in order.

    Attributes:
        cells: (cells,) position times 8192 plus bin.
        counts: (cells,) values in each.
    """

    cells: Counts
    counts: Counts

    @classmethod
    def empty(cls) -> "Sketch":
        """Of no value."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

    def of(self, position: int) -> tuple[Counts, Counts]:
        """Bins and counts of one position."""
        first, end = np.searchsorted(self.cells, (position * _STRIDE, (position + 1) * _STRIDE))
        return self.cells[first:end] - position * _STRIDE, self.counts[first:end]

    @classmethod
    def join(cls, positions: list[tuple[Counts, Counts]]) -> "Sketch":
        """From the bins and counts of each position."""
        cells = [bins + place * _STRIDE for place, (bins, _) in enumerate(positions)]
        return cls(np.concatenate(cells), np.concatenate([counts for _, counts in positions]))

    def __add__(self, other: "Sketch") -> "Sketch":
        if not len(self.cells) or not len(other.cells):
            return self if len(self.cells) else other
        cells = np.concatenate([self.cells, other.cells])
        order = np.argsort(cells, kind="stable")
        cells, counts = cells[order], np.concatenate([self.counts, other.counts])[order]
        starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
        return Sketch(cells[starts], np.add.reduceat(counts, starts))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sketch)
            and np.array_equal(self.cells, other.cells)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]


def sketch_numbers(values: Floats, left_out: Flags | None = None) -> Sketch:
    """Of the finite values, (rows, width) in either memory order, but for those ``left_out``."""
    return _counted(values, left_out, NUMBER_BINS, number_bins)


def sketch_ids(values: Floats, left_out: Flags | None = None) -> Sketch:
    """Of ids held as float64, (rows, width); NaN and those ``left_out`` are not counted."""
    return _counted(values, left_out, ID_BINS, id_bins)


def sketch_units(hashes: list[NDArray[np.uint64]]) -> Sketch:
    """Of each position's ids, as hashes: how often each of 4096 buckets is hit, to tell how many ids there are."""
    bins = [np.bincount((one % np.uint64(UNIT_BINS)).astype(np.int64), minlength=UNIT_BINS) for one in hashes]
    return Sketch.join([(np.flatnonzero(counts), counts[counts > 0]) for counts in bins])


def estimate_cardinality(bins: Counts) -> float:
    """How many ids have hit these of the 4096 buckets, at least; beyond 34,000 they are not told apart.

    Linear counting: Whang, Vander-Zanden and Taylor, ACM Trans. Database Systems 15(2), 1990.
    """
    empty = UNIT_BINS - len(bins)
    return UNIT_BINS * math.log(UNIT_BINS / max(empty, 1))


def number_bins(values: Floats) -> NDArray[np.int32]:
    """The bin of each number of a contiguous array; one more than there are bins for NaN and infinities."""
    upper = values.view(np.uint16).reshape(*values.shape, 4)[..., 3]
    return _BINS[upper]


def id_bins(values: Floats) -> NDArray[np.int32]:
    """The bin of each id of a contiguous array; one more than there are bins for NaN and infinities."""
    own = (values >= 0.0) & (values < OWN_IDS)
    with np.errstate(invalid="ignore"):
        small = np.where(own, values, 0.0).astype(np.int32)
    hashed = (OWN_IDS + splitmix64(values.view(np.uint64)) % np.uint64(_HASHED_IDS)).astype(np.int32)
    return np.where(np.isfinite(values), np.where(own, small, hashed), ID_BINS).astype(np.int32)


def lower_edges(bins: Counts) -> Floats:
    """The end of each bin of numbers that is nearer to zero; 0 for the bin around zero.

    >>> lower_edges(number_bins(np.array([-1.01, 0.0, 1.99]))).tolist()
    [-1.0, 0.0, 1.9375]
    """
    magnitude = np.abs(bins - ZERO_BIN)
    upper = magnitude - 1 + ((1023 + _LEAST) << _MANTISSA_BITS)
    edges = (upper.astype(np.uint64) << np.uint64(48)).view(np.float64)
    signed: Floats = np.where(magnitude == 0, 0.0, np.where(bins < ZERO_BIN, -edges, edges))
    return signed


def _counted(
    values: Floats, left_out: Flags | None, bins: int, bins_of: Callable[[Floats], NDArray[np.int32]]
) -> Sketch:
    rows, width = values.shape
    at_once = max(1, _CELLS_AT_ONCE // max(rows, bins))
    pieces = []
    for first in range(0, width, at_once):
        some = np.ascontiguousarray(values[:, first : first + at_once].T)
        found = bins_of(some)
        if left_out is not None:
            found[left_out[:, first : first + at_once].T] = bins
        found = found + (bins + 1) * np.arange(len(some), dtype=np.int32)[:, np.newaxis]
        dense = np.bincount(found.ravel(), minlength=(bins + 1) * len(some)).reshape(len(some), bins + 1)
        places, cells = np.nonzero(dense[:, :bins])
        pieces.append(Sketch((first + places) * _STRIDE + cells, dense[places, cells]))
    return Sketch(
        np.concatenate([one.cells for one in pieces]), np.concatenate([one.counts for one in pieces])
    )
