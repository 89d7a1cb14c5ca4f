"""How far two samples of a column are from each other, and how far chance alone would bring them.

Each takes counts: of the reference ``p`` and of the current rows ``q``, both (classes,), in the same classes.
"""

import math

import numpy as np

from components.validate.profile.statistics import Counts, Floats

CLASSES = 10
TOP_IDS = 19
# One comparison in a million of equal distributions goes beyond its noise.
DEVIATIONS = 4.75
_CHANCE = 1e-6
_PRIOR = 0.5


def classes_of_numbers(p: Counts) -> Counts:
    """For bins in the order of their values, the tenth of the reference's rows in which each lies.

    Bins outside of the reference's values belong to the first and the last tenth.

    >>> classes_of_numbers(np.array([0, 50, 25, 25, 0])).tolist()
    [0, 2, 6, 8, 9]
    """
    middle = (np.cumsum(p) - p / 2) / max(int(p.sum()), 1)
    return np.minimum(middle * CLASSES, CLASSES - 1).astype(np.int64)


def classes_of_ids(p: Counts) -> Counts:
    """For bins of ids: a class for each of the reference's nineteen most frequent, and one for all others."""
    ranks = np.empty(len(p), dtype=np.int64)
    ranks[np.argsort(-p, kind="stable")] = np.arange(len(p))
    return np.where(p > 0, np.minimum(ranks, TOP_IDS), TOP_IDS)


def into_classes(counts: Counts, classes: Counts) -> Floats:
    """Counts by class; (classes,)."""
    by_class: Floats = np.zeros(1 + int(classes.max(initial=0)))
    np.add.at(by_class, classes, counts)
    return by_class


def psi(p: Floats, q: Floats) -> float:
    """The population stability index, ``sum((q - p) * log(q / p))`` of the shares: Siddiqi, "Credit Risk
    Scorecards", 2006, ch. 8; it is the divergence J of Kullback and Leibler, 1951, eq. 2.5.

    A class counts half a row more than it has, as of Krichevsky and Trofimov, 1981, so that an empty one is finite.
    """
    there = (p > 0) | (q > 0)
    p, q = p[there] + _PRIOR, q[there] + _PRIOR
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def psi_noise(classes: int, n: float, m: float) -> float:
    """What chance adds between ``n`` and ``m`` independent rows: ``(1/n + 1/m)`` times chi-square, of one class less
    than there are.

    Yurdakul and Naranjo, "Statistical properties of the population stability index", J. Risk Model Validation 14(4),
    2020; the quantile by Wilson and Hilferty, 1931.
    """
    free = classes - 1
    if free < 1:
        return 0.0
    spread = 2.0 / (9.0 * free)
    quantile = free * (1.0 - spread + DEVIATIONS * math.sqrt(spread)) ** 3
    return (1.0 / n + 1.0 / m) * quantile


def jensen_shannon(p: Floats, q: Floats) -> float:
    """The Jensen-Shannon divergence in bits, 0 to 1: Lin, IEEE Trans. Information Theory 37(1), 1991, eq. 4.1."""
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2


def js_noise(classes: int, n: float, m: float) -> float:
    """What chance adds. Both this and PSI are f-divergences, of which PSI is eight times the curvature (in nats)."""
    return psi_noise(classes, n, m) / (8.0 * math.log(2.0))


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


def _relative_entropy(p: Floats, q: Floats) -> float:
    there = p > 0
    return float(np.sum(p[there] * np.log2(p[there] / q[there])))
