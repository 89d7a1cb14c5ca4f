"""How far a metric may be off by chance: a Poisson bootstrap of users, the same for both models.

Every user counts Poisson(1) times in a replicate (Chamandy et al., "Estimating uncertainty for massive data streams",
2012, section 2). A metric is a function of sums over rows, so a replicate needs sums by user only, and memory is
bounded by users times sums, whatever the number of replicates.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from recap_model.metrics import auc_influence
from recap_model.metrics.likelihood import cross_entropy

METRICS = ("auc", "log_loss", "rce", "calibration_ratio")
# More users than this share counts by chance groups, which leaves the expected spread as it is.
_MAX_CLUSTERS = 1 << 16

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Resampling:
    """``clusters`` (rows,) are what is resampled; ``counts`` (replicates, clusters) how often each is drawn."""

    clusters: NDArray[np.int64]
    counts: Array


def resampling(users: NDArray[np.int64] | None, rows: int, replicates: int, seed: int) -> Resampling:
    """Draw the counts of every user, or of every row where users are not known."""
    clusters = (np.arange(rows) if users is None else users) % _MAX_CLUSTERS
    shape = (replicates, int(clusters.max(initial=-1)) + 1)
    return Resampling(clusters, np.random.default_rng(seed).poisson(1.0, shape).astype(np.float64))


def replicates_of(
    resampled: Resampling,
    labels: NDArray[np.float32],
    predictions: NDArray[np.float32],
    weights: NDArray[np.float32],
    chosen: NDArray[np.bool_] | None = None,
) -> dict[str, Array]:
    """Each of ``METRICS`` in every replicate: (replicates,), not finite where it is not defined.

    AUC is exact to first order in the counts (`auc_influence`); the others are exact.

    Args:
        labels, predictions, weights: (rows,) of one task and one model.
        chosen: (rows,), the rows that count; all if not given.
    """
    known = ~np.isnan(labels) & (weights > 0)
    known &= True if chosen is None else chosen
    label, prediction, weight = (
        values[known].astype(np.float64) for values in (labels, predictions, weights)
    )
    area, influence = auc_influence(label, prediction, weight)
    sums = (
        weight,
        weight * label,
        weight * prediction,
        weight * cross_entropy(label, prediction),
        influence,
    )
    count, clusters = resampled.counts.shape[1], resampled.clusters[known]
    by_cluster = np.stack([np.bincount(clusters, values, minlength=count) for values in sums])
    mass, positive, predicted, loss, change = (resampled.counts @ by_cluster.T).T
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = positive / mass
        constant = -(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate))
        log_loss = loss / mass
        return {
            "auc": area + change,
            "log_loss": log_loss,
            "rce": 100.0 * (1.0 - log_loss / constant),
            "calibration_ratio": predicted / positive,
        }


def standard_error(replicates: Array) -> float | None:
    """The replicates' spread; None unless nine of ten are defined."""
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < max(2.0, 0.9 * len(replicates)):
        return None
    return float(defined.std(ddof=1))


def interval(value: float, error: float, confidence: float) -> list[float]:
    """One-sided bounds below and above, each at ``confidence``, of a normally distributed estimate.

    >>> [round(bound, 2) for bound in interval(10.0, 1.0, 0.95)]
    [8.36, 11.64]
    """
    reach = NormalDist().inv_cdf(confidence) * error
    return [value - reach, value + reach]
