"""How well probabilities explain labels: cross entropy, as it is and relative to a constant."""

import numpy as np
from numpy.typing import ArrayLike

from recap_model.metrics.rows import Array, labelled_rows

_CLIP = 1e-7


def cross_entropy(labels: Array, predictions: Array) -> Array:
    """Cross entropy of each row in nats, predictions clipped by 1e-7: (rows,)."""
    clipped = np.clip(predictions, _CLIP, 1.0 - _CLIP)
    return -(labels * np.log(clipped) + (1.0 - labels) * np.log1p(-clipped))


def log_loss(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Weighted mean cross entropy in nats.

    >>> round(log_loss([1, 0], [0.5, 0.5]), 6)
    0.693147
    """
    rows = labelled_rows(labels, predictions, weights)
    if not len(rows.labels):
        return float("nan")
    return float(np.average(cross_entropy(rows.labels, rows.predictions), weights=rows.weights))


def relative_cross_entropy(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """RCE in percent: ``100 * (1 - CE(predictions) / CE(mean label))``; over 0 is better than a constant.

    The same as 100 * (1 - NE), He et al., "Practical Lessons from Predicting Clicks on Ads", ADKDD 2014, eq. 1.
    """
    rows = labelled_rows(labels, predictions, weights)
    if not len(rows.labels) or rows.labels.min() == rows.labels.max():
        return float("nan")
    rate = np.average(rows.labels, weights=rows.weights)
    constant = log_loss(rows.labels, np.full_like(rows.labels, rate), rows.weights)
    return 100.0 * (1.0 - log_loss(*rows) / constant)


def normalised_rce(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """RCE in percent after scaling the predictions so that their mean equals the mean label."""
    rows = labelled_rows(labels, predictions, weights)
    if not len(rows.labels) or not (rows.weights @ rows.predictions):
        return float("nan")
    scale = (rows.weights @ rows.labels) / (rows.weights @ rows.predictions)
    return relative_cross_entropy(rows.labels, rows.predictions * scale, rows.weights)
