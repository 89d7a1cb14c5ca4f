"""How far one column's rows are from a reference's: distances, and what of them chance or habit explains."""

import math
from dataclasses import dataclass

import numpy as np

from components.validate.drift import metrics
from components.validate.drift.effective_rows import independence
from components.validate.profile.columns import Block
from components.validate.profile.exact_sum import from_units
from components.validate.profile.histogram import OWN_IDS
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.statistics import Counts
from recap_model.config.drift import DriftBounds, DriftConfig

METRICS = ("psi", "js", "ks", "mean_shift", "vanished", "missing")
USUAL = 2.0  # times what the reference's own days differ by
_NAMED = 3
_VANISHED_ROWS = 15.0  # an id of which as many are expected is not gone by chance
_CANCELLED = 1e-8  # of the squared mean: a smaller variance is lost in rounding


@dataclass(frozen=True)
class Sample:
    """Some rows of one position: histogram, exact sums over ``present`` values, and counts.

    ``independence`` is how many rows each row counts for in what chance explains, 0 to 1.
    """

    bins: Counts
    counts: Counts
    rows: int
    missing: int
    present: int
    total: int | None
    squares: int | None
    independence: float

    @classmethod
    def of(cls, part: PartitionProfile, key: str, label: str, alike: dict[str, float]) -> "Sample | None":
        """Of a profile's position; None if it has none of that name."""
        block = part.blocks.get(key)
        if block is None or label not in block.labels:
            return None
        place, stats = block.labels.index(label), block.stats
        bins, counts = block.sketch.of(place)
        present = int(stats.finite[place] - stats.unknown[place])
        sums = stats.total[place], stats.squares[place]
        return cls(
            bins,
            counts,
            int(stats.rows[place]),
            int(stats.missing[place]),
            present,
            *sums,
            independence(part, alike),
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
            self.independence,
        )

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation; NaN where they are unknown."""
        if self.total is None or self.squares is None or self.present < 1:
            return math.nan, math.nan
        mean = from_units(self.total) / self.present
        variance = from_units(self.squares) / self.present - mean * mean
        return mean, math.sqrt(variance) if variance > _CANCELLED * mean * mean else math.nan


@dataclass(frozen=True)
class Change:
    """One position's distances from the reference over some rows.

    Attributes:
        where: a day, or the window.
        found, allowed: by metric, those that can be computed.
        missing: the share of missing values of the reference, and now.
        means: of the reference, and now; NaN for ids.
    """

    column: str
    source: str
    role: str
    where: str
    found: dict[str, float]
    allowed: dict[str, float]
    missing: tuple[float, float]
    means: tuple[float, float]
    gone: str = ""

    @property
    def excess(self) -> float:
        """The greatest distance as a multiple of what is allowed; missing values aside."""
        return max((self._share(name) for name in self.found if name != "missing"), default=0.0)

    @property
    def worst(self) -> str:
        """The metric that is furthest beyond what is allowed; missing values aside."""
        return max((name for name in self.found if name != "missing"), key=self._share, default="")

    @property
    def furthest(self) -> float:
        """`excess`, or that of the share of missing values if it is greater."""
        return max(self.excess, self._share("missing"))

    def _share(self, name: str) -> float:
        if not self.found[name]:
            return 0.0
        return self.found[name] / self.allowed[name] if self.allowed[name] else math.inf


class Column:
    """One position of the reference: its rows, and how far its own days are from one another."""

    def __init__(
        self,
        block: Block,
        label: str,
        source: str,
        whole: Sample,
        days: list[Sample],
        config: DriftConfig,
    ) -> None:
        self._block, self._label, self._source, self._whole = block, label, source, whole
        self._bounds = _bounds(config, config.columns.get(source, DriftBounds()))
        self._always = _always(whole, days)
        self._usual: dict[str, float] = {}
        for part in days if len(days) > 1 else ():
            for name, value in self._distances(whole - part, part)[0].items():
                self._usual[name] = max(value, self._usual.get(name, 0.0))

    def change(self, sample: Sample, where: str) -> Change:
        found, noise = self._distances(self._whole, sample)
        gone = ""
        if self._block.role == "discrete" and sample.present:
            found["vanished"], gone = self._vanished(sample)
            noise["vanished"] = 0.0
        allowed = {name: self._allowed(name, noise[name]) for name in found}
        missing = self._whole.missing / self._whole.rows, sample.missing / sample.rows
        means = self._whole.moments[0], sample.moments[0]
        means = (math.nan, math.nan) if self._block.role == "discrete" else means
        return Change(
            self._label, self._source, self._block.role, where, found, allowed, missing, means, gone
        )

    def _allowed(self, name: str, noise: float) -> float:
        """Sampling makes the divergences greater, so that chance comes on top; elsewhere it goes either way."""
        bound = max(self._bounds[name], USUAL * self._usual.get(name, 0.0))
        return bound + noise if name in ("psi", "js") else max(bound, noise)

    def _distances(self, then: Sample, now: Sample) -> tuple[dict[str, float], dict[str, float]]:
        """Each metric that can be computed, and what chance may add to it."""
        before, after = then.missing / then.rows, now.missing / now.rows
        found = {"missing": abs(after - before)}
        rows_then, rows_now = then.rows * then.independence, now.rows * now.independence
        noise = {"missing": metrics.rate_noise(before, rows_then, after, rows_now)}
        bins = np.union1d(then.bins, now.bins)
        p, q = _spread(then, bins), _spread(now, bins)
        if not p.sum() or not q.sum():
            return found, noise
        n, m = float(p.sum()) * then.independence, float(q.sum()) * now.independence
        ids = self._block.role == "discrete"
        classes = metrics.classes_of_ids(p) if ids else metrics.classes_of_numbers(p)
        in_p, in_q = (metrics.into_classes(counts, classes) for counts in (p, q))
        found |= {"psi": metrics.psi(in_p, in_q), "js": metrics.jensen_shannon(in_p, in_q)}
        occupied = int(np.count_nonzero((in_p > 0) | (in_q > 0)))
        noise |= {"psi": metrics.psi_noise(occupied, n, m), "js": metrics.js_noise(occupied, n, m)}
        if ids:
            return found, noise
        found["ks"], noise["ks"] = metrics.kolmogorov_smirnov(p, q), metrics.ks_noise(n, m)
        (mean, deviation), (mean_now, deviation_now) = then.moments, now.moments
        shift = abs(mean_now - mean) / deviation if deviation else math.nan
        if math.isfinite(shift):
            # Few rows may all be alike by chance, so that they do not say how wide the distribution is.
            spread = 1.0 if math.isnan(deviation_now) else max(deviation_now / deviation, 1.0)
            found["mean_shift"] = shift
            noise["mean_shift"] = metrics.mean_noise(1.0, n, spread, m)
        return found, noise

    def _vanished(self, sample: Sample) -> tuple[float, str]:
        """Share of the reference's rows with ids that were always there and now are not; the first of them."""
        bins = np.union1d(self._whole.bins, sample.bins)
        p, q = _spread(self._whole, bins), _spread(sample, bins)
        expected = p / p.sum() * q.sum() * sample.independence
        lost = np.isin(bins, self._always) & (q == 0) & (expected >= _VANISHED_ROWS)
        names = [str(one) if one < OWN_IDS else "a hashed one" for one in bins[lost].tolist()]
        return float(p[lost].sum() / p.sum()), ", ".join(names[:_NAMED])


def _bounds(config: DriftConfig, own: DriftBounds) -> dict[str, float]:
    names = ("psi", "js", "ks", "mean_shift", "vanished_share", "missing_rate_change")
    given = [getattr(own, f"max_{name}") for name in names]
    usual = [getattr(config, f"max_{name}") for name in names]
    return {
        metric: default if mine is None else mine
        for metric, mine, default in zip(METRICS, given, usual, strict=True)
    }


def _always(whole: Sample, days: list[Sample]) -> Counts:
    there = whole.bins
    for day in days:
        there = np.intersect1d(there, day.bins, assume_unique=True)
    return there


def _spread(sample: Sample, bins: Counts) -> Counts:
    """The counts over bins that hold all of the sample's."""
    counts = np.zeros(len(bins), dtype=np.int64)
    counts[np.searchsorted(bins, sample.bins)] = sample.counts
    return counts
