"""Calibration metrics: calibration ratio, calibration line, reliability bins, ECE."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recap_model.metrics.groups import Array, PredictionGroups, dot, grouped

_MAX_NEWTON_STEPS, _LONGEST_STEP, _CONVERGED = 50, 4.0, 1e-6
_MAX_LOGIT, _MAX_CONDITION = 500.0, 1e12
_COARSE = 4096  # groups that the calibration line is first fitted to, where there are many more
_BLOCK = 1 << 15  # groups at once, so that what is computed on the way stays in the cache


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


def calibration_ratio(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Predicted over observed: the weighted sum of predictions over that of labels.

    >>> calibration_ratio([1, 0, 0, 0], [0.5, 0.25, 0.25, 0.0])
    1.0
    """
    groups = grouped(labels, predictions, weights)
    return dot(groups.weights, groups.predictions) / groups.positive if groups.positive else float("nan")


def mean_prediction(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Weighted mean prediction of the rows with a label (pCTR, beside the mean label, the CTR).

    >>> mean_prediction([1, 0, float("nan")], [0.5, 0.25, 0.9])
    0.375
    """
    groups = grouped(labels, predictions, weights)
    return dot(groups.weights, groups.predictions) / groups.total if groups.total else float("nan")


def calibration_line(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> CalibrationLine:
    """Intercept and slope of a weighted logistic regression of the labels on the predictions' log odds.

    Cox, "Two further applications of a model for binary regression", Biometrika 1958. A slope under 1 says that
    predictions are too extreme. NaN where there is no single best line: labels of one class, one prediction only,
    or labels that a threshold separates.
    """
    groups = grouped(labels, predictions, weights)
    start = np.array([0.0, 1.0])
    if len(groups.predictions) > 2 * _COARSE:
        # Newton's first steps on few groups, which leaves one or two for all.
        coarse = _fit_line(groups.merged(_COARSE), start)
        start = start if np.isnan(coarse).any() else coarse
    return CalibrationLine(*_fit_line(groups, start).tolist())


def _fit_line(groups: PredictionGroups, line: Array) -> Array:
    """Newton's method from the intercept and slope ``line``; NaN if it does not converge."""
    log, log_of_complement = groups.logs
    data = np.stack([log, log_of_complement, groups.negatives, groups.positives])
    for _ in range(_MAX_NEWTON_STEPS if data.shape[1] else 0):
        blocks = (data[:, start : start + _BLOCK] for start in range(0, data.shape[1], _BLOCK))
        gradient, curvature = np.split(np.sum([_derivatives(block, line) for block in blocks], axis=0), [2])
        curvature = curvature[[[0, 1], [1, 2]]]
        if np.isnan(curvature).any() or np.linalg.cond(curvature) > _MAX_CONDITION:
            break
        step = np.linalg.solve(curvature, gradient)
        line = line + step * min(1.0, _LONGEST_STEP / np.abs(step).max(initial=1e-300))
        if np.abs(step).max() < _CONVERGED:
            return line
    return np.full(2, np.nan)


def _derivatives(data: Array, line: Array) -> Array:
    """Gradient by intercept and slope, and the three second derivatives, of the log likelihood: (5,)."""
    log, log_of_complement, negatives, positives = data
    logit = log - log_of_complement
    fitted = 1.0 / (1.0 + np.exp(-np.clip(line[0] + line[1] * logit, -_MAX_LOGIT, _MAX_LOGIT)))
    expected = (negatives + positives) * fitted
    residual, variance = positives - expected, expected * (1.0 - fitted)
    by_logit = variance * logit
    return np.array(
        [residual.sum(), dot(residual, logit), variance.sum(), by_logit.sum(), dot(by_logit, logit)]
    )


def equal_mass_bins(groups: PredictionGroups, bins: int) -> NDArray[np.int64]:
    """The first group of each of at most ``bins`` bins that hold about the same weight: (bins,), from 0 on."""
    first = np.unique(np.searchsorted(groups.middles, groups.total * (np.arange(bins) / bins)))
    return first[first < len(groups.middles)]


def sums_by_bin(first: NDArray[np.int64], *values: Array) -> list[Array]:
    """Sums of each (groups,) over bins that begin at the groups ``first``: (bins,) each."""
    return [np.add.reduceat(column, first) if len(first) else column[:0] for column in values]


def reliability_bins(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    bins: int = 15,
) -> ReliabilityBins:
    """Mean prediction and mean label in ``bins`` bins that hold the same weight of rows.

    Rows of one prediction are in one bin.
    """
    groups = grouped(labels, predictions, weights)
    mass, predicted, observed, variance = sums_by_bin(
        equal_mass_bins(groups, bins),
        groups.weights,
        groups.weights * groups.predictions,
        groups.positives,
        groups.squares * groups.predictions * (1.0 - groups.predictions),
    )
    return ReliabilityBins(predicted / mass, observed / mass, mass, np.sqrt(variance) / mass)


def equal_variance_bins(groups: PredictionGroups, most: int = 15) -> ReliabilityBins:
    """Bins of about as much predicted variance each, so that one observed rate is as sure as another.

    They have about as many expected positives each where positives are rare; of equal weight, most bins of a rare
    task would hold no positive. There is a bin for ten rows of the rarer label, 4 to ``most`` of them, by the
    effective number of rows (Kish, "Survey Sampling", 1965, section 11.7).
    """
    if not groups.total:
        empty = np.zeros(0)
        return ReliabilityBins(empty, empty, empty, empty)
    effective_rows = groups.total**2 / groups.squares.sum()
    rarer = effective_rows * min(groups.positive, groups.negative) / groups.total
    count = int(np.clip(rarer // 10, 4, most))
    variance = groups.weights * groups.predictions * (1.0 - groups.predictions)
    before = np.cumsum(variance) - variance / 2
    number = np.minimum((before / (variance.sum() or 1.0) * count).astype(int), count - 1)
    mass, predicted, observed, chance = (
        np.bincount(number, values, minlength=count).astype(np.float64)
        for values in (
            groups.weights,
            groups.weights * groups.predictions,
            groups.positives,
            groups.squares * groups.predictions * (1.0 - groups.predictions),
        )
    )
    held = mass > 0
    mass, predicted, observed, chance = mass[held], predicted[held], observed[held], chance[held]
    return ReliabilityBins(predicted / mass, observed / mass, mass, np.sqrt(chance) / mass)


def expected_calibration_error(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    bins: int = 15,
) -> float:
    """Debiased ECE: over bins of equal weight, the root of the weighted mean squared gap less what chance makes.

    The squared form of Kumar et al., "Verified Uncertainty Calibration", NeurIPS 2019, section 4: a plain ECE is
    over 0 even for a perfectly calibrated model. A mean below 0, which chance can give, keeps its sign.
    """
    found = reliability_bins(labels, predictions, weights, bins)
    if not len(found.weight):
        return float("nan")
    squared = float(
        np.average((found.predicted - found.observed) ** 2 - found.error**2, weights=found.weight)
    )
    return float(np.copysign(np.sqrt(abs(squared)), squared))
