"""Metrics of predicted values: errors, deviance, order; of weighted rows, NaN labels left out."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recap_model.metrics.groups import Array

Family = Literal["huber", "mae", "mse", "poisson", "tweedie"]

_LEAST = 1e-6  # of a prediction over its scale, as in the loss
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
_SEARCH_STEPS = 100


def mean_absolute_error(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Weighted mean of |v - y|; NaN without rows.

    >>> mean_absolute_error([1, 5, float("nan")], [2, 2, 0])
    2.0
    """
    label, prediction, weight = _rows(labels, predictions, weights)
    return _mean(np.abs(prediction - label), weight)


def root_mean_squared_error(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Root of the weighted mean of (v - y)^2; NaN without rows."""
    label, prediction, weight = _rows(labels, predictions, weights)
    return float(np.sqrt(_mean((prediction - label) ** 2, weight)))


def r_squared(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Coefficient of determination: 1 less the squared error over that of the mean label; NaN if labels are equal."""
    label, prediction, weight = _rows(labels, predictions, weights)
    constant = _mean((label - _mean(label, weight)) ** 2, weight)
    return 1.0 - _mean((prediction - label) ** 2, weight) / constant if constant > 0 else float("nan")


def relative_absolute_error(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """The absolute error over that of the best constant, the weighted median; under 1 is better than a constant."""
    label, prediction, weight = _rows(labels, predictions, weights)
    if not len(label):
        return float("nan")
    constant = _mean(np.abs(label - _weighted_median(label, weight)), weight)
    return _mean(np.abs(prediction - label), weight) / constant if constant > 0 else float("nan")


def deviance(
    labels: ArrayLike,
    predictions: ArrayLike,
    weights: ArrayLike | None = None,
    family: Family = "mse",
    scale: float = 1.0,
    power: float = 1.5,
) -> float:
    """Weighted mean loss of a family, 0 for predictions that equal the labels.

    It is as `ValueLoss` defines it; ``poisson`` is half the Poisson deviance, ``y log(y / v) - y + v`` in scales.
    """
    label, prediction, weight = _rows(labels, predictions, weights)
    return _mean(unit_deviance(label, prediction, family, scale, power), weight)


def deviance_skill(
    labels: ArrayLike,
    predictions: ArrayLike,
    weights: ArrayLike | None = None,
    family: Family = "mse",
    scale: float = 1.0,
    power: float = 1.5,
) -> float:
    """Per cent of the best constant's deviance that predictions save; over 0 is better than a constant.

    ``100 * (1 - D(v) / D(c))``, with c the median for ``mae``, the weighted mean for ``mse``, ``poisson`` and
    ``tweedie``. For ``mse`` it is 100 times `r_squared`; in general it is the D^2 of Hastie, Tibshirani and
    Wainwright, "Statistical Learning with Sparsity", 2015, p. 32. NaN if all labels are equal.
    """
    label, prediction, weight = _rows(labels, predictions, weights)
    if not len(label):
        return float("nan")
    best = best_constant(label, weight, family, scale)
    constant = _mean(unit_deviance(label, np.full_like(label, best), family, scale, power), weight)
    own = _mean(unit_deviance(label, prediction, family, scale, power), weight)
    return 100.0 * (1.0 - own / constant) if constant > 0 else float("nan")


def unit_deviance(label: Array, prediction: Array, family: Family, scale: float, power: float) -> Array:
    """The loss of each row: (rows,)."""
    value, target = prediction / scale, label / scale
    difference = np.abs(value - target)
    match family:
        case "mae":
            return difference
        case "mse":
            return difference**2
        case "huber":
            return np.where(difference <= 1.0, 0.5 * difference**2, difference - 0.5)
        case "poisson":
            value = np.maximum(value, _LEAST)
            return value - target + target * np.log(np.maximum(target, _LEAST) / value)
        case "tweedie":
            low, high = 1.0 - power, 2.0 - power
            value = np.maximum(value, _LEAST)
            return target**high / (low * high) - target * value**low / low + value**high / high


def best_constant(label: Array, weight: Array, family: Family, scale: float) -> float:
    """The constant with the least deviance: mean, median, or for ``huber`` by golden section, as it is convex."""
    if family in ("mse", "poisson", "tweedie"):
        return _mean(label, weight)
    if family == "mae":
        return _weighted_median(label, weight)
    low, high = float(label.min()), float(label.max())
    for _ in range(_SEARCH_STEPS):
        step = _GOLDEN * (high - low)
        left, right = high - step, low + step
        losses = [
            _mean(unit_deviance(label, np.full_like(label, c), family, scale, 0.0), weight)
            for c in (left, right)
        ]
        low, high = (low, right) if losses[0] <= losses[1] else (left, high)
    return 0.5 * (low + high)


def xauc(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Probability that of two rows with different labels the one with the larger label has the larger prediction.

    Equal predictions count one half; pairs are weighted by the product of their rows' weights; of labels of 0 and 1
    it is the AUC. Zhan et al., "Deconfounding Duration Bias in Watch-time Prediction for Video Recommendation",
    KDD 2022, sec. 5.1. Exact, in O(n log^2 n): each pair is counted at the highest bit in which the ranks of its
    labels differ, by cumulative sums over rows that agree in all higher bits. NaN if all labels are equal.

    >>> xauc([1, 2, 3], [0.1, 0.3, 0.2])
    0.6666666666666666
    """
    label, prediction, weight = _rows(labels, predictions, weights)
    ranks = np.unique(label, return_inverse=True)[1]
    order = np.argsort(prediction, kind="stable")
    ranks, weight = ranks[order], weight[order]
    ties = np.unique(prediction, return_inverse=True)[1][order]
    ordered, pairs = 0.0, 0.0
    for bit in range(int(ranks.max(initial=0)).bit_length()):
        block = ranks >> (bit + 1)
        rows = np.argsort(block, kind="stable")
        below, of_block = _smaller_label_weights(
            block[rows], ties[rows], (ranks[rows] >> bit) & 1, weight[rows]
        )
        larger = weight[rows] * ((ranks[rows] >> bit) & 1)
        ordered += float(larger @ below)
        pairs += float(larger @ of_block)
    return ordered / pairs if pairs else float("nan")


def _smaller_label_weights(
    block: NDArray[np.int64], tie: NDArray[np.int64], bit: NDArray[np.int64], weight: Array
) -> tuple[Array, Array]:
    """Of each row the weight of its block's rows without the bit: below its prediction (equal ones half), and all."""
    cumulative = np.append(0.0, np.cumsum(weight * (bit == 0)))
    new_block = np.append(True, np.diff(block) != 0)
    new_tie = new_block | np.append(True, np.diff(tie) != 0)

    def bounds(starts: NDArray[np.bool_]) -> tuple[Array, Array]:
        first = np.flatnonzero(starts)
        number = np.cumsum(starts) - 1
        return cumulative[first][number], cumulative[np.append(first[1:], len(starts))][number]

    block_start, block_end = bounds(new_block)
    tie_start, tie_end = bounds(new_tie)
    return 0.5 * (tie_start + tie_end) - block_start, block_end - block_start


def decile_means(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None, bins: int = 10
) -> tuple[Array, Array, Array]:
    """Mean prediction, mean label and weight in ``bins`` of about equal weight by rising prediction: three (bins,).

    Rows with the same prediction stay together, so that there may be fewer.
    """
    label, prediction, weight = _rows(labels, predictions, weights)
    order = np.argsort(prediction, kind="stable")
    label, prediction, weight = label[order], prediction[order], weight[order]
    first = np.searchsorted(
        prediction, prediction, side="left"
    )  # the place of the first row with that prediction
    before = (np.cumsum(weight) - weight)[first]
    number = np.minimum((bins * before / max(weight.sum(), 1e-300)).astype(np.int64), bins - 1)
    number = np.unique(number, return_inverse=True)[1]
    columns = (weight * prediction, weight * label, weight)
    sums: list[Array] = [np.bincount(number, values).astype(np.float64) for values in columns]
    return sums[0] / sums[2], sums[1] / sums[2], sums[2]


def _rows(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array, Array]:
    label, prediction = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    weight = np.ones(label.shape) if weights is None else np.asarray(weights, np.float64)
    if len({label.shape, prediction.shape, weight.shape}) != 1:
        shapes = ", ".join(str(array.shape) for array in (label, prediction, weight))
        raise ValueError(f"labels, predictions and weights must have one shape, got {shapes}")
    counted = (weight > 0) & ~np.isnan(label)
    return label[counted], prediction[counted], weight[counted]


def _mean(values: Array, weight: Array) -> float:
    return float(np.average(values, weights=weight)) if len(values) else float("nan")


def _weighted_median(values: Array, weight: Array) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])
