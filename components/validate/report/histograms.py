"""Histograms of a profile on an axis that fits their values: rebinned into bars, linear or logarithmic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.common.html.charts import Axis
from components.validate.profile.sketches.histogram import ZERO_BIN, lower_edges
from components.validate.profile.statistics import Counts, Floats

BARS = 30
_TAIL = 0.005  # of the rows at either end may lie beyond the axis; they count in its last bar
_LOG_FROM = 20.0  # times the median: a longer tail is drawn on a logarithmic axis
_MAX_TICKS = 8
_MAX_WHOLE = 32  # whole numbers up to here have a bin, and a bar, each


@dataclass(frozen=True)
class Bars:
    """Bars that several histograms share.

    Attributes:
        edges: (bars + 1,) in the values' unit.
        zeros_apart: the axis is logarithmic, which has no 0: zeros are in no bar.
    """

    edges: Floats
    is_log: bool = False
    is_whole: bool = False
    zeros_apart: bool = False

    def axis(self, label: str) -> Axis:
        """The x axis."""
        if self.is_whole:
            every = math.ceil(len(self.edges) / _MAX_TICKS)
            ticks = [(value + 0.5, f"{value + 0.5:.0f}") for value in self.edges[:-1:every].tolist()]
            return Axis(label, low=float(self.edges[0]), high=float(self.edges[-1]), ticks=ticks)
        return Axis(
            label, "log" if self.is_log else "linear", low=float(self.edges[0]), high=float(self.edges[-1])
        )

    def heights(self, bins: Counts, counts: Counts) -> list[float]:
        """The fraction of the values in each bar."""
        total = float(counts.sum())
        if not total:
            return [0.0] * (len(self.edges) - 1)
        low, high = _bin_ends(bins)
        if self.zeros_apart:
            low, high, counts = low[high > 0.0], high[high > 0.0], counts[high > 0.0]
        if self.is_whole:
            values = np.clip(np.rint(np.where(high > 0.0, low, high)), self.edges[0], self.edges[-1])
            heights, _ = np.histogram(values, bins=self.edges, weights=counts)
        else:
            below = _interpolate(low, high, counts, self.edges)
            below[0], below[-1] = 0.0, float(counts.sum())
            heights = np.diff(below)
        fractions: list[float] = (heights / total).tolist()
        return fractions


def choose_bars(histograms: Sequence[tuple[Counts, Counts]], least: float, greatest: float) -> Bars:
    """Bars for histograms of one column.

    Args:
        histograms: bins and counts of each, at least one with a value.
        least, greatest: extremes of the values.
    """
    bins = np.unique(np.concatenate([one for one, _ in histograms]))
    shares = np.zeros(len(bins))
    for one, counts in histograms:
        shares[np.searchsorted(bins, one)] += counts / max(int(counts.sum()), 1)
    low, high = _bin_ends(bins)
    if _are_whole(low, high) and np.abs([least, greatest]).max() <= _MAX_WHOLE:
        edges: Floats = np.arange(math.floor(least), math.ceil(greatest) + 2, dtype=np.float64) - 0.5
        return Bars(edges, is_whole=True)
    if least == greatest:
        return Bars(np.array([least - (abs(least) / 2 or 0.5), least + (abs(least) / 2 or 0.5)]))
    start, end = _find_ends(low, high, shares, least, greatest)
    positive = high > 0.0
    if least >= 0.0 and positive.any():
        shares = shares[positive]
        first, last = _find_ends(low[positive], high[positive], shares, 0.0, greatest)
        median = high[positive][np.searchsorted(np.cumsum(shares), shares.sum() / 2)]
        if first > 0.0 and last > _LOG_FROM * median:
            return Bars(np.geomspace(first, last, BARS + 1), is_log=True, zeros_apart=not positive.all())
    return Bars(np.linspace(start, end, BARS + 1))


def _find_ends(
    low: Floats, high: Floats, shares: Floats, least: float, greatest: float
) -> tuple[float, float]:
    """The range of all values but the tails; of all values if they are nearly all the same."""
    below = np.cumsum(shares)
    tail = _TAIL * below[-1]
    start = max(float(low[np.searchsorted(below, tail, side="right").clip(max=len(low) - 1)]), least)
    end = min(float(high[np.searchsorted(below, below[-1] - tail).clip(max=len(high) - 1)]), greatest)
    return (start, end) if end > start else (least, greatest)


def _bin_ends(bins: Counts) -> tuple[Floats, Floats]:
    """The least and the greatest value of each bin; bins rise with their values."""
    near = lower_edges(bins)
    far = lower_edges(np.where(bins > ZERO_BIN, bins + 1, np.where(bins < ZERO_BIN, bins - 1, bins)))
    return np.minimum(near, far), np.maximum(near, far)


def _are_whole(low: Floats, high: Floats) -> bool:
    near = np.where(high > 0.0, low, high)
    return bool(np.all(near == np.rint(near)))


def _interpolate(low: Floats, high: Floats, counts: Counts, edges: Floats) -> Floats:
    """How many values are below each edge, values spread evenly within their bins."""
    ends = np.column_stack([low, np.maximum(high, np.nextafter(low, np.inf))]).ravel()
    before = np.cumsum(counts) - counts
    below: Floats = np.interp(edges, ends, np.column_stack([before, before + counts]).ravel())
    return below
