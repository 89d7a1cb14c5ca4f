"""Some rows of one column, as a profile has them."""

import math
from dataclasses import dataclass

import numpy as np

from components.validate.drift.effective_rows import effective_fraction
from components.validate.profile.exact_sum import from_units
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.statistics import Counts

_CANCELLED = 1e-8  # of the squared mean: a smaller variance is lost in rounding


@dataclass(frozen=True)
class Sample:
    """Rows of one position: histogram, exact sums over ``present`` values, and counts.

    ``effective_fraction`` is how many independent rows each row is worth, 0 to 1.
    """

    bins: Counts
    counts: Counts
    rows: int
    missing: int
    present: int
    total: int | None
    squares: int | None
    effective_fraction: float

    @classmethod
    def of(
        cls, part: PartitionProfile, key: str, label: str, correlations: dict[str, float]
    ) -> "Sample | None":
        """Of a profile's position; None if it has none of that name."""
        block = part.blocks.get(key)
        if block is None or label not in block.labels:
            return None
        position, stats = block.labels.index(label), block.stats
        bins, counts = block.sketch.of(position)
        return cls(
            bins,
            counts,
            int(stats.rows[position]),
            int(stats.missing[position]),
            int(stats.finite[position] - stats.unknown[position]),
            stats.total[position],
            stats.squares[position],
            effective_fraction(part, correlations),
        )

    def __sub__(self, part: "Sample") -> "Sample":
        """The rows that are not of a part of them."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.bins, part.bins)] -= part.counts
        return Sample(
            self.bins,
            counts,
            self.rows - part.rows,
            self.missing - part.missing,
            self.present - part.present,
            None if self.total is None or part.total is None else self.total - part.total,
            None if self.squares is None or part.squares is None else self.squares - part.squares,
            self.effective_fraction,
        )

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation; NaN where they are unknown."""
        if self.total is None or self.squares is None or self.present < 1:
            return math.nan, math.nan
        mean = from_units(self.total) / self.present
        variance = from_units(self.squares) / self.present - mean * mean
        return mean, math.sqrt(variance) if variance > _CANCELLED * mean * mean else math.nan

    def counts_over(self, bins: Counts) -> Counts:
        """The counts (bins,) over bins that hold all of the sample's."""
        counts = np.zeros(len(bins), dtype=np.int64)
        counts[np.searchsorted(bins, self.bins)] = self.counts
        return counts
