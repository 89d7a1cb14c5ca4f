"""Ranking metrics over all rows: ROC and precision-recall, with ties."""

import numpy as np
from numpy.typing import ArrayLike

from recap_model.metrics.groups import Array, PredictionGroups, dot, grouped


def roc_curve(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[Array, Array, Array]:
    """False and true positive rates, from (0, 0) to (1, 1), and the threshold of each point: three (points,).

    The first threshold, where nothing is predicted positive, is just over the highest prediction.
    """
    groups = grouped(labels, predictions, weights)
    if not groups.ordered:
        return np.array([]), np.array([]), np.array([])
    negatives, positives = (mass[::-1] for mass in groups.above)
    thresholds = groups.predictions[::-1]
    first = np.nextafter(thresholds[0], np.inf)
    return (
        np.append(0.0, negatives / negatives[-1]),
        np.append(0.0, positives / positives[-1]),
        np.append(first, thresholds),
    )


def auc(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Area under the ROC curve: the weighted Mann-Whitney statistic, ties at one half (Hanley & McNeil, 1982).

    >>> auc([1, 0, 0], [0.9, 0.9, 0.1])
    0.75
    """
    groups = grouped(labels, predictions, weights)
    if not groups.ordered:
        return float("nan")
    _, positives_above = groups.above
    beaten_by = positives_above - groups.positives / 2
    return dot(groups.negatives, beaten_by) / (groups.negative * groups.positive)


def precision_recall_curve(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Recall and precision at each distinct prediction, recall rising: two (points,)."""
    groups = grouped(labels, predictions, weights)
    if not groups.positive or np.isnan(groups.predictions[-1]):
        return np.array([]), np.array([])
    negatives, positives = (mass[::-1] for mass in groups.above)
    return positives / positives[-1], positives / (positives + negatives)


def pr_auc(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Average precision: precision summed over the steps of recall, without interpolation."""
    groups = grouped(labels, predictions, weights)
    if not groups.positive or np.isnan(groups.predictions[-1]):
        return float("nan")
    negatives, positives = groups.above
    return dot(groups.positives, positives / (positives + negatives)) / groups.positive


def auc_gradient(groups: PredictionGroups) -> tuple[float, Array]:
    """AUC, and how it changes with the weight of a negative and of a positive at each prediction.

    The structural components of DeLong et al. (Biometrics 1988), centred, so that weighted by the rows they add up
    to 0. Sums of them by user give the AUC of resampled users to first order, without a sort for each replicate.

    Returns:
        The AUC, and (2, groups); NaN and zeros for labels of one class.
    """
    if not groups.ordered:
        return float("nan"), np.zeros((2, len(groups.predictions)))
    negatives_above, positives_above = groups.above
    gradient = np.empty((2, len(groups.predictions)))
    beaten_by, beats = gradient
    # The fraction of the other class that a row at each prediction is beaten by, or beats, ties at one half.
    np.divide(positives_above - groups.positives / 2, groups.positive, out=beaten_by)
    np.divide(negatives_above - groups.negatives / 2, -groups.negative, out=beats)
    area = dot(groups.negatives, beaten_by) / groups.negative
    beaten_by -= area
    beaten_by /= groups.negative
    beats += 1.0 - area
    beats /= groups.positive
    return area, gradient
