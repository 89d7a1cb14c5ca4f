"""Counts, extremes and exact sums of each position of a block's values."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.validate.profile.sketches.exact_sum import from_units, to_units

_VALUES_PER_CHUNK = 1 << 18  # 2 MB

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass
class Stats:
    """Counts and moments of a block's positions; those of two sets of rows add up.

    Attributes, each (width,):
        rows, nulls, nans, infinities, zeros, ones: counts of rows with such a value.
        unknown: missing though neither null nor NaN: the id -1, an embedding of zeros, an empty list.
        outside: values the role does not allow: not 0 or 1, a negative weight, a time far from its partition.
        minimum, maximum: of the finite values; infinite where there is none.
        total, squares: exact sums over the finite values, in units of 2**-1074; None if one overflowed.
    """

    rows: Counts
    nulls: Counts
    nans: Counts
    infinities: Counts
    zeros: Counts
    ones: Counts
    unknown: Counts
    outside: Counts
    minimum: Floats
    maximum: Floats
    total: list[int | None]
    squares: list[int | None]

    @classmethod
    def empty(cls, width: int) -> "Stats":
        """Stats of no row."""
        counts = {name: np.zeros(width, dtype=np.int64) for name in COUNTS}
        lowest, highest = np.full(width, np.inf), np.full(width, -np.inf)
        zeros: list[int | None] = [0] * width
        return cls(**counts, minimum=lowest, maximum=highest, total=zeros, squares=list(zeros))

    @property
    def missing(self) -> Counts:
        """Rows without a value that the model could use, infinities aside."""
        return self.nulls + self.nans + self.unknown

    @property
    def finite(self) -> Counts:
        """Rows with a finite value."""
        return self.rows - self.nulls - self.nans - self.infinities

    def __add__(self, other: "Stats") -> "Stats":
        counts: dict[str, Counts] = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return Stats(
            **counts,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
            total=list(_add_sums(self.total, other.total)),
            squares=list(_add_sums(self.squares, other.squares)),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stats) and all(
            np.array_equal(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)
        )


COUNTS = ("rows", "nulls", "nans", "infinities", "zeros", "ones", "unknown", "outside")


def _add_sums(first: list[int | None], second: list[int | None]) -> Iterator[int | None]:
    for left, right in zip(first, second, strict=True):
        yield None if left is None or right is None else left + right


def measure(
    values: Floats, nulls: Counts, unknown: Flags | None = None, outside: Flags | None = None
) -> Stats:
    """Stats of some rows. A few columns are measured at a time, whose values stay in the processor's cache.

    Args:
        values: (rows, width) float64, in either memory order; null is NaN.
        nulls: (width,) how many of the NaN are nulls.
        unknown, outside: (rows, width) flags of such values.
    """
    rows, width = values.shape
    columns_per_chunk = max(1, _VALUES_PER_CHUNK // max(rows, 1))
    chunks = []
    for first in range(0, width, columns_per_chunk):
        chunk = slice(first, first + columns_per_chunk)
        flags = (None if flag is None else flag[:, chunk] for flag in (unknown, outside))
        chunks.append(_measure_chunk(values[:, chunk], nulls[chunk], *flags))
    return _concat_stats(chunks)


def _concat_stats(chunks: list[Stats]) -> Stats:
    if len(chunks) == 1:
        return chunks[0]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in (*COUNTS, "minimum", "maximum")
    }
    for name in ("total", "squares"):
        columns[name] = [total for chunk in chunks for total in getattr(chunk, name)]
    return Stats(**columns)


def _measure_chunk(values: Floats, nulls: Counts, unknown: Flags | None, outside: Flags | None) -> Stats:
    rows, width = values.shape
    finite = np.isfinite(values)
    counted = np.count_nonzero(finite, axis=0)
    all_finite = int(counted.sum()) == values.size
    nans = np.zeros(width, dtype=np.int64) if all_finite else np.count_nonzero(np.isnan(values), axis=0)
    clean = values if all_finite else np.where(finite, values, 0.0)
    lowest = values if all_finite else np.where(finite, values, np.inf)
    highest = values if all_finite else np.where(finite, values, -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        total = clean.sum(axis=0)
        squares = np.einsum("ij,ij->j", clean, clean)
    return Stats(
        rows=np.full(width, rows, dtype=np.int64),
        nulls=nulls,
        nans=nans - nulls,
        infinities=rows - counted - nans,
        zeros=np.count_nonzero(values == 0.0, axis=0),
        ones=np.count_nonzero(values == 1.0, axis=0),
        unknown=_count_flags(unknown, width),
        outside=_count_flags(outside, width),
        minimum=lowest.min(axis=0, initial=np.inf),
        maximum=highest.max(axis=0, initial=-np.inf),
        total=[to_units(value) if np.isfinite(value) else None for value in total.tolist()],
        squares=[to_units(value) if np.isfinite(value) else None for value in squares.tolist()],
    )


def _count_flags(flags: Flags | None, width: int) -> Counts:
    if flags is None:
        return np.zeros(width, dtype=np.int64)
    return np.count_nonzero(flags, axis=0).astype(np.int64)


def fraction(count: float, total: float) -> float:
    """``count / total``; 0 if the total is 0."""
    return count / total if total else 0.0


def compute_mean(stats: Stats, position: int) -> float:
    """Mean of the finite values; NaN if there is none, or their sum overflowed."""
    total, count = stats.total[position], int(stats.finite[position])
    return from_units(total) / count if count and total is not None else math.nan
