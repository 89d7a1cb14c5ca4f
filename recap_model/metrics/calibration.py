"""Whether probabilities are as large as rates: in total, along a line in log odds, and by bins of equal weight."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recap_model.metrics.rows import Array, labelled_rows

_CLIP = 1e-7
_MAX_NEWTON_STEPS, _LONGEST_STEP, _CONVERGED = 50, 4.0, 1e-9
_MAX_LOGIT, _MAX_CONDITION = 500.0, 1e12


class ReliabilityBins(NamedTuple):
    """Bins of equal weight by rising prediction: (bins,) each.

    ``error`` is the standard error of ``observed`` if every prediction were right.
    """

    predicted: Array
    observed: Array
    weight: Array
    error: Array


class CalibrationLine(NamedTuple):
    """``intercept + slope * logit(prediction)`` fits the labels best; calibrated predictions have 0 and 1."""

    intercept: float
    slope: float


def calibration_ratio(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Predicted over observed: the weighted sum of predictions over that of labels.

    >>> calibration_ratio([1, 0, 0, 0], [0.5, 0.25, 0.25, 0.0])
    1.0
    """
    rows = labelled_rows(labels, predictions, weights)
    observed = float(rows.weights @ rows.labels)
    return float(rows.weights @ rows.predictions) / observed if observed else float("nan")


def mean_prediction(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Weighted mean prediction of the rows with a label (pCTR, beside the mean label, the CTR).

    >>> mean_prediction([1, 0, float("nan")], [0.5, 0.25, 0.9])
    0.375
    """
    rows = labelled_rows(labels, predictions, weights)
    return float(np.average(rows.predictions, weights=rows.weights)) if len(rows.labels) else float("nan")


def calibration_line(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> CalibrationLine:
    """Intercept and slope of a weighted logistic regression of the labels on the predictions' log odds.

    Cox, "Two further applications of a model for binary regression", Biometrika 1958. A slope under 1 says that
    predictions are too extreme. NaN where there is no single best line: labels of one class, one prediction only,
    or labels that a threshold separates.
    """
    rows = labelled_rows(labels, predictions, weights)
    clipped = np.clip(rows.predictions, _CLIP, 1.0 - _CLIP)
    inputs = np.stack([np.ones_like(clipped), np.log(clipped) - np.log1p(-clipped)])
    line = np.array([0.0, 1.0])
    for _ in range(_MAX_NEWTON_STEPS):
        fitted = 1.0 / (1.0 + np.exp(-np.clip(line @ inputs, -_MAX_LOGIT, _MAX_LOGIT)))
        gradient = inputs @ (rows.weights * (rows.labels - fitted))
        curvature = (inputs * (rows.weights * fitted * (1.0 - fitted))) @ inputs.T
        if not len(clipped) or np.isnan(curvature).any() or np.linalg.cond(curvature) > _MAX_CONDITION:
            break
        step = np.linalg.solve(curvature, gradient)
        if np.abs(step).max() < _CONVERGED:
            return CalibrationLine(float(line[0]), float(line[1]))
        line = line + step * min(1.0, _LONGEST_STEP / np.abs(step).max())
    return CalibrationLine(float("nan"), float("nan"))


def equal_mass_bins(predictions: Array, weights: Array, bins: int) -> NDArray[np.int64]:
    """The bin of each row, from 0 to ``bins`` less 1, so that each holds about the same weight: (rows,).

    Rows of one prediction are in one bin.
    """
    _, place = np.unique(predictions, return_inverse=True)
    weight = np.bincount(place, weights)
    middle = np.cumsum(weight) - weight / 2
    number = np.minimum((middle / max(weight.sum(), 1e-300) * bins).astype(np.int64), bins - 1)
    return number[place]


def reliability_bins(
    labels: ArrayLike,
    predictions: ArrayLike,
    weights: ArrayLike | None = None,
    squares: ArrayLike | None = None,
    bins: int = 15,
) -> ReliabilityBins:
    """Mean prediction and mean label in ``bins`` bins that hold the same weight of rows.

    ``squares``, where a row stands for several, are the sums of their squared weights: (rows,).
    """
    label, prediction, weight = labelled_rows(labels, predictions, weights)
    square = weight**2 if squares is None else labelled_rows(labels, squares, weights).predictions
    number = equal_mass_bins(prediction, weight, bins)
    mass, predicted, observed, variance = (
        np.bincount(number, values, minlength=bins).astype(np.float64)
        for values in (
            weight,
            weight * prediction,
            weight * label,
            square * prediction * (1.0 - prediction),
        )
    )
    held = mass > 0
    mass, predicted, observed, variance = mass[held], predicted[held], observed[held], variance[held]
    return ReliabilityBins(predicted / mass, observed / mass, mass, np.sqrt(variance) / mass)


def expected_calibration_error(
    labels: ArrayLike,
    predictions: ArrayLike,
    weights: ArrayLike | None = None,
    squares: ArrayLike | None = None,
    bins: int = 15,
) -> float:
    """Debiased ECE over bins of equal weight: the root of the weighted mean squared gap less what chance makes.

    The squared form of Kumar et al., "Verified Uncertainty Calibration", NeurIPS 2019, section 4: a plain ECE is
    over 0 even for a perfectly calibrated model. A mean below 0, which chance can give, keeps its sign.
    """
    found = reliability_bins(labels, predictions, weights, squares, bins)
    if not len(found.weight):
        return float("nan")
    squared = float(
        np.average((found.predicted - found.observed) ** 2 - found.error**2, weights=found.weight)
    )
    return float(np.copysign(np.sqrt(abs(squared)), squared))
