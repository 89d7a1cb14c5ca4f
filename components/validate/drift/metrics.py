"""Drift metrics (PSI, KS, mean shift, ids gone, missing rate) with their null distributions, bounds and texts.

A metric is one entry of `METRICS`, and its bound a field of `recap_model.config.steps.drift.DriftBounds`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from components.validate.drift.distribution import Distribution
from components.validate.profile.sketches.histogram import EXACT_IDS
from components.validate.profile.statistics import Counts, Floats
from recap_model.metrics import population_stability_index

CLASSES = 10
TOP_IDS = 19
# One comparison in a million of equal distributions goes beyond its noise.
DEVIATIONS = 4.75
_CHANCE = 1e-6
_NAMED_IDS = 3
_VANISHED_ROWS = 15.0  # chance does not explain that an id with as many expected rows is gone


@dataclass(frozen=True)
class Pair:
    """One column's distribution in the reference and in the rows compared with it.

    Attributes:
        p, q: rows of the reference and current rows by bin (bins,), in the same bins.
        are_ids: the bins are of ids, which have no order.
        stable_ids: bins of ids that were there on each of the reference's days; None where days are compared.
    """

    reference: Distribution
    current: Distribution
    bins: Counts
    p: Counts
    q: Counts
    are_ids: bool
    stable_ids: Counts | None = None

    @classmethod
    def align(
        cls,
        reference: Distribution,
        current: Distribution,
        *,
        are_ids: bool,
        stable_ids: Counts | None = None,
    ) -> "Pair":
        """Align two distributions over all bins of both."""
        bins = np.union1d(reference.bins, current.bins)
        p, q = reference.counts_over(bins), current.counts_over(bins)
        return cls(reference, current, bins, p, q, are_ids, stable_ids)

    @property
    def has_values(self) -> bool:
        """Whether there is a value on both sides."""
        return bool(self.p.sum() and self.q.sum())

    @property
    def effective_rows(self) -> tuple[float, float]:
        """Effective sample size of the rows with a value, of each side."""
        return (
            float(self.p.sum()) * self.reference.effective_fraction,
            float(self.q.sum()) * self.current.effective_fraction,
        )


@dataclass(frozen=True)
class Distance:
    """A metric's value, the value that chance alone may give, and the ids that it is about."""

    value: float
    noise: float
    detail: str = ""


@dataclass(frozen=True)
class DriftMetric:
    """A measure of how far two distributions of a column differ.

    Attributes:
        name: in results, as ``psi``.
        bound: the field of `DriftBounds`.
        title: heads its column on a page.
        meaning: the title, explained.
        sentence: what is observed, with a place for the value.
        unit: format of a value on a page.
        measure: the distance of a pair, or None where it is not defined.
        is_biased: chance increases it on average, so noise is added to the bound; else the greater of both counts.
    """

    name: str
    bound: str
    title: str
    meaning: str
    sentence: str
    measure: Callable[[Pair], Distance | None]
    unit: str = ".3f"
    is_biased: bool = False


def _measure_psi(pair: Pair) -> Distance | None:
    if not pair.has_values:
        return None
    classes = classify_ids(pair.p) if pair.are_ids else classify_numbers(pair.p)
    p, q = sum_by_class(pair.p, classes), sum_by_class(pair.q, classes)
    occupied = int(np.count_nonzero((p > 0) | (q > 0)))
    return Distance(population_stability_index(p, q), psi_noise(occupied, *pair.effective_rows))


def _measure_ks(pair: Pair) -> Distance | None:
    if pair.are_ids or not pair.has_values:
        return None
    return Distance(kolmogorov_smirnov(pair.p, pair.q), ks_noise(*pair.effective_rows))


def _measure_mean_shift(pair: Pair) -> Distance | None:
    if pair.are_ids or not pair.has_values:
        return None
    (mean, deviation), (mean_now, deviation_now) = pair.reference.moments, pair.current.moments
    shift = abs(mean_now - mean) / deviation if deviation else math.nan
    if not math.isfinite(shift):
        return None
    # Few rows may be equal by chance, so their own deviation is no estimate of the spread.
    spread = 1.0 if math.isnan(deviation_now) else max(deviation_now / deviation, 1.0)
    n, m = pair.effective_rows
    return Distance(shift, mean_noise(1.0, n, spread, m))


def _measure_vanished(pair: Pair) -> Distance | None:
    """Fraction of the reference's rows with ids that were there on each of its days and now are not."""
    if pair.stable_ids is None or not pair.are_ids or not pair.has_values:
        return None
    expected = pair.p / pair.p.sum() * pair.effective_rows[1]
    lost = np.isin(pair.bins, pair.stable_ids) & (pair.q == 0) & (expected >= _VANISHED_ROWS)
    names = [str(id_bin) if id_bin < EXACT_IDS else "a hashed one" for id_bin in pair.bins[lost].tolist()]
    return Distance(float(pair.p[lost].sum() / pair.p.sum()), 0.0, ", ".join(names[:_NAMED_IDS]))


def _measure_missing(pair: Pair) -> Distance:
    before, after = pair.reference.missing / pair.reference.rows, pair.current.missing / pair.current.rows
    rows_then = pair.reference.rows * pair.reference.effective_fraction
    rows_now = pair.current.rows * pair.current.effective_fraction
    return Distance(abs(after - before), rate_noise(before, rows_then, after, rows_now))


METRICS = (
    DriftMetric(
        "psi",
        "max_psi",
        "PSI",
        "population stability index: how far two histograms are apart; 0 for equal ones",
        "a PSI of {:.3g}",
        _measure_psi,
        is_biased=True,
    ),
    DriftMetric(
        "ks",
        "max_ks",
        "KS",
        "Kolmogorov-Smirnov: the largest distance of the two distribution functions, 0 to 1",
        "a Kolmogorov-Smirnov statistic of {:.3g}",
        _measure_ks,
    ),
    DriftMetric(
        "mean_shift",
        "max_mean_shift",
        "mean shift",
        "change of the mean, in standard deviations of the reference",
        "a mean {:.3g} standard deviations away",
        _measure_mean_shift,
    ),
    DriftMetric(
        "vanished",
        "max_vanished_share",
        "ids gone",
        "fraction of the reference's rows whose ids no longer occur",
        "ids of {:.3g} of its rows are gone",
        _measure_vanished,
        unit=".1%",
    ),
)
MISSING = DriftMetric(
    "missing",
    "max_missing_rate_change",
    "missing",
    "change of the fraction of missing values",
    "a missing rate {:.3g} away",
    _measure_missing,
    unit=".1%",
)
"""Judged by a separate rule."""

METRICS_BY_NAME = {metric.name: metric for metric in (*METRICS, MISSING)}


def classify_numbers(p: Counts) -> Counts:
    """The tenth of the reference's rows in which each bin lies; bins are in the order of their values.

    Bins outside of the reference's values belong to the first and the last tenth.

    >>> classify_numbers(np.array([0, 50, 25, 25, 0])).tolist()
    [0, 2, 6, 8, 9]
    """
    middle = (np.cumsum(p) - p / 2) / max(int(p.sum()), 1)
    return np.minimum(middle * CLASSES, CLASSES - 1).astype(np.int64)


def classify_ids(p: Counts) -> Counts:
    """A class for each of the reference's nineteen most frequent bins of ids, and one for all others."""
    ranks = np.empty(len(p), dtype=np.int64)
    ranks[np.argsort(-p, kind="stable")] = np.arange(len(p))
    return np.where(p > 0, np.minimum(ranks, TOP_IDS), TOP_IDS)


def sum_by_class(counts: Counts, classes: Counts) -> Floats:
    """Counts by class; (classes,)."""
    by_class: Floats = np.zeros(1 + int(classes.max(initial=0)))
    np.add.at(by_class, classes, counts)
    return by_class


def psi_noise(classes: int, n: float, m: float) -> float:
    """What chance adds between ``n`` and ``m`` independent rows: ``(1/n + 1/m)`` times chi-square, of one class less
    than there are.

    Yurdakul and Naranjo, "Statistical properties of the population stability index", J. Risk Model Validation 14(4),
    2020.
    """
    if classes < 2:
        return 0.0
    return (1.0 / n + 1.0 / m) * float(stats.chi2.isf(_CHANCE, classes - 1))


def kolmogorov_smirnov(p: Counts, q: Counts) -> float:
    """The greatest distance of the two distribution functions, at the edges of bins in the order of their values."""
    return float(np.max(np.abs(np.cumsum(p) / p.sum() - np.cumsum(q) / q.sum())))


def ks_noise(n: float, m: float) -> float:
    """Smirnov's asymptotic bound, 1939: ``sqrt(-log(a / 2) / 2 * (1/n + 1/m))``; ties make it wider than needed."""
    return math.sqrt(-math.log(_CHANCE / 2) / 2 * (1.0 / n + 1.0 / m))


def rate_noise(p: float, p_rows: float, q: float, q_rows: float) -> float:
    """Standard error of the difference of two rates, at their pooled rate, times 4.75."""
    pooled = (p * p_rows + q * q_rows) / (p_rows + q_rows)
    return DEVIATIONS * math.sqrt(pooled * (1.0 - pooled) * (1.0 / p_rows + 1.0 / q_rows))


def mean_noise(p_deviation: float, p_rows: float, q_deviation: float, q_rows: float) -> float:
    """Standard error of the difference of two means (Welch, 1947), times 4.75."""
    return DEVIATIONS * math.sqrt(p_deviation**2 / p_rows + q_deviation**2 / q_rows)
