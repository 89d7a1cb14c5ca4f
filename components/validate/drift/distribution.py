"""The distribution of one column over some rows: histogram, exact sums and counts."""

import math
from dataclasses import dataclass

import numpy as np

from components.validate.drift.effective_rows import effective_fraction
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.sketches.exact_sum import from_units
from components.validate.profile.statistics import Counts

_CANCELLED = 1e-8  # of the squared mean: a smaller variance is lost in rounding


@dataclass(frozen=True)
class Distribution:
    """One position over some rows: its histogram, exact sums over ``present`` values, and counts.

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
    def read(
        cls, profile: PartitionProfile, key: str, label: str, correlations: dict[str, float]
    ) -> "Distribution | None":
        """Read a profile's position; None if it has none of that name."""
        block = profile.blocks.get(key)
        if block is None or label not in block.labels:
            return None
        position, stats = block.labels.index(label), block.stats
        bins, counts = block.histograms.select(position)
        return cls(
            bins,
            counts,
            int(stats.rows[position]),
            int(stats.missing[position]),
            int(stats.finite[position] - stats.unknown[position]),
            stats.total[position],
            stats.squares[position],
            effective_fraction(profile, correlations),
        )

    def __sub__(self, other: "Distribution") -> "Distribution":
        """The distribution without some of its rows."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.bins, other.bins)] -= other.counts
        return Distribution(
            self.bins,
            counts,
            self.rows - other.rows,
            self.missing - other.missing,
            self.present - other.present,
            None if self.total is None or other.total is None else self.total - other.total,
            None if self.squares is None or other.squares is None else self.squares - other.squares,
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
        """The counts (bins,) over bins that hold all of the distribution's."""
        counts = np.zeros(len(bins), dtype=np.int64)
        counts[np.searchsorted(bins, self.bins)] = self.counts
        return counts
