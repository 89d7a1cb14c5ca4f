"""How well predictions order rows: ROC and precision-recall, exact, ties counted as ties."""

import numpy as np
from numpy.typing import ArrayLike

from recap_model.metrics.rows import Array, labelled_rows


def _cumulated(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None
) -> tuple[Array, Array, Array]:
    """Weights of positives and negatives at or above each distinct prediction, highest first, and the predictions.

    All are empty where a prediction is NaN, which has no place in an order.
    """
    rows = labelled_rows(labels, predictions, weights)
    if np.isnan(rows.predictions).any():
        return np.array([]), np.array([]), np.array([])
    order = np.argsort(-rows.predictions, kind="stable")
    label, weight, prediction = rows.labels[order], rows.weights[order], rows.predictions[order]
    last = np.flatnonzero(np.append(np.diff(prediction) != 0, True)) if len(label) else np.empty(0, int)
    positives = np.cumsum(weight * label)[last]
    negatives = np.cumsum(weight * (1.0 - label))[last]
    return positives, negatives, prediction[last]


def roc_curve(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Array, Array, Array]:
    """False and true positive rates, from (0, 0) to (1, 1), and the threshold of each point: three (points,).

    The first threshold, where nothing is predicted positive, is just over the highest prediction.
    """
    positives, negatives, thresholds = _cumulated(labels, predictions, weights)
    if not len(positives) or not positives[-1] or not negatives[-1]:
        return np.array([]), np.array([]), np.array([])
    first = np.nextafter(thresholds[0], np.inf)
    return (
        np.append(0.0, negatives / negatives[-1]),
        np.append(0.0, positives / positives[-1]),
        np.append(first, thresholds),
    )


def auc(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve: the weighted Mann-Whitney statistic, ties at one half (Hanley & McNeil, 1982).

    >>> auc([1, 0, 0], [0.9, 0.9, 0.1])
    0.75
    """
    false, true, _ = roc_curve(labels, predictions, weights)
    if not len(false):
        return float("nan")
    return float(np.trapezoid(true, false))


def precision_recall_curve(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Array, Array]:
    """Recall and precision at each distinct prediction, recall rising: two (points,)."""
    positives, negatives, _ = _cumulated(labels, predictions, weights)
    if not len(positives) or not positives[-1]:
        return np.array([]), np.array([])
    return positives / positives[-1], positives / (positives + negatives)


def pr_auc(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Average precision: precision summed over the steps of recall, without interpolation."""
    recall, precision = precision_recall_curve(labels, predictions, weights)
    if not len(recall):
        return float("nan")
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def auc_influence(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, Array]:
    """AUC, and how it changes with each row's count: the derivative by a factor on the row's weight.

    The structural components of DeLong et al. (Biometrics 1988), centred, so that they add up to 0. Sums of them
    by user give the AUC of resampled users to first order, without a sort for each replicate.

    Returns:
        The AUC, and (rows,) of the rows with a label and a weight; NaN and zeros for labels of one class.
    """
    rows = labelled_rows(labels, predictions, weights)
    positive, negative = rows.weights * rows.labels, rows.weights * (1.0 - rows.labels)
    if not positive.sum() or not negative.sum() or np.isnan(rows.predictions).any():
        return float("nan"), np.zeros(len(rows.labels))
    _, place = np.unique(rows.predictions, return_inverse=True)
    positives, negatives = (np.bincount(place, mass) for mass in (positive, negative))
    # The share of the other class that a row at each distinct prediction beats, ties at one half.
    over = (np.cumsum(negatives) - negatives / 2)[place] / negatives.sum()
    under = (positives.sum() - np.cumsum(positives) + positives / 2)[place] / positives.sum()
    area = float(positive @ over / positive.sum())
    return area, positive * (over - area) / positive.sum() + negative * (under - area) / negative.sum()
