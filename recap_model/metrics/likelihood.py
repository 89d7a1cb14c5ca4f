"""Log loss and relative cross entropy."""

import numpy as np
from numpy.typing import ArrayLike

from recap_model.metrics.groups import Array, PredictionGroups, dot, grouped, logs


def log_loss(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Weighted mean cross entropy in nats, predictions clipped by 1e-7.

    >>> round(log_loss([1, 0], [0.5, 0.5]), 6)
    0.693147
    """
    groups = grouped(labels, predictions, weights)
    return _mean_loss(groups, *groups.logs)


def relative_cross_entropy(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """RCE in percent: ``100 * (1 - CE(predictions) / CE(mean label))``; over 0 is better than a constant.

    The same as 100 * (1 - NE), He et al., "Practical Lessons from Predicting Clicks on Ads", ADKDD 2014, eq. 1.
    """
    groups = grouped(labels, predictions, weights)
    return _relative(groups, *groups.logs)


def normalised_rce(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """RCE in percent after scaling the predictions so that their mean equals the mean label."""
    groups = grouped(labels, predictions, weights)
    predicted = dot(groups.weights, groups.predictions)
    if not predicted:
        return float("nan")
    return _relative(groups, *logs(groups.predictions * (groups.positive / predicted)))


def _mean_loss(groups: PredictionGroups, log: Array, log_of_complement: Array) -> float:
    if not groups.total:
        return float("nan")
    return -(dot(groups.positives, log) + dot(groups.negatives, log_of_complement)) / groups.total


def _relative(groups: PredictionGroups, log: Array, log_of_complement: Array) -> float:
    if not groups.positive or not groups.negative:
        return float("nan")
    constant = -float(np.dot([groups.rate, 1.0 - groups.rate], np.ravel(logs(np.array([groups.rate])))))
    return 100.0 * (1.0 - _mean_loss(groups, log, log_of_complement) / constant)
