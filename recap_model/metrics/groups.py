"""Labelled rows grouped by distinct prediction: the input of every metric of one task."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_CLIP = 1e-7  # to which a logarithm clips probabilities


@dataclass(frozen=True)
class PredictionGroups:
    """Weights of negatives and positives at each distinct prediction, predictions rising.

    Any metric that does not depend on the order of rows is a function of these. Where rows are binned, a group
    is a bin and ``predictions`` has the bins' means.

    Shape:
        predictions, negatives, positives, squares: (groups,) float64; ``squares`` are sums of squared weights.
    """

    predictions: Array
    negatives: Array
    positives: Array
    squares: Array

    @cached_property
    def weights(self) -> Array:
        """Of both labels: (groups,)."""
        return self.negatives + self.positives

    @cached_property
    def negative(self) -> float:
        """The sum of the negatives' weights."""
        return float(self.negatives.sum())

    @cached_property
    def positive(self) -> float:
        """The sum of the positives' weights."""
        return float(self.positives.sum())

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return self.negative + self.positive

    @property
    def rate(self) -> float:
        """Weighted mean label; NaN without rows."""
        return self.positive / self.total if self.total else float("nan")

    @property
    def ordered(self) -> bool:
        """Whether there are both labels, and every prediction is a number, so that AUC and curves are defined."""
        return bool(self.positive and self.negative) and not np.isnan(self.predictions[-1])

    @cached_property
    def above(self) -> tuple[Array, Array]:
        """Weights of negatives and of positives at or above each prediction: two (groups,)."""
        negatives, positives = (np.cumsum(mass[::-1])[::-1] for mass in (self.negatives, self.positives))
        return negatives, positives

    @cached_property
    def middles(self) -> Array:
        """Weights below each prediction, and half of its own: (groups,)."""
        middles = np.cumsum(self.weights)
        middles -= self.weights / 2
        return middles

    def merged(self, max_groups: int) -> "PredictionGroups":
        """Merge neighbouring groups, with their mean predictions, into at most ``max_groups``."""
        if len(self.predictions) <= max_groups:
            return self
        first = np.linspace(0, len(self.predictions), max_groups, endpoint=False).astype(np.int64)
        predicted, negatives, positives, squares = (
            np.add.reduceat(column, first)
            for column in (self.predictions * self.weights, self.negatives, self.positives, self.squares)
        )
        return PredictionGroups(predicted / (negatives + positives), negatives, positives, squares)

    @cached_property
    def logs(self) -> tuple[Array, Array]:
        """Natural logarithms of each prediction and of its complement, clipped by 1e-7: two (groups,)."""
        return logs(self.predictions)


class GroupedRows(NamedTuple):
    """Groups of rows, and the rows by rising prediction.

    Shape:
        order: (rows,) where each sorted row was.
        sizes: (groups,) rows of each group; None where each has one.
    """

    groups: PredictionGroups
    order: NDArray[np.int64]
    sizes: NDArray[np.int64] | None


def dot(first: Array, second: Array) -> float:
    """The inner product of two (groups,), on this thread alone: BLAS wakes threads, which spin on a busy machine."""
    return float(np.einsum("i,i->", first, second))


def logs(predictions: Array) -> tuple[Array, Array]:
    """Natural logarithms of predictions and of their complements, clipped by 1e-7: two of the same shape."""
    clipped = np.clip(predictions, _CLIP, 1.0 - _CLIP)
    log = np.log(clipped)
    np.negative(clipped, out=clipped)
    return log, np.log1p(clipped, out=clipped)


def grouped(
    labels: "ArrayLike | PredictionGroups",
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> PredictionGroups:
    """Group rows by prediction; groups are returned unchanged. Rows without a label or with weight 0 are left out.

    Raises:
        ValueError: the lengths differ.
    """
    if isinstance(labels, PredictionGroups):
        return labels
    label, prediction = np.asarray(labels), np.asarray(predictions)
    weight = np.ones(label.shape, np.float64) if weights is None else np.asarray(weights)
    if len({label.shape, prediction.shape, weight.shape}) != 1:
        shapes = ", ".join(str(array.shape) for array in (label, prediction, weight))
        raise ValueError(f"labels, predictions and weights must have one shape, got {shapes}")
    counted = (weight > 0) & (label == label)  # NaN differs from itself
    if not counted.all():
        label, prediction, weight = label[counted], prediction[counted], weight[counted]
    return group_rows(label, prediction, weight).groups


def group_rows(labels: NDArray[Any], predictions: NDArray[Any], weights: NDArray[Any] | None) -> GroupedRows:
    """Group rows that all have a label and a weight: (rows,) each; weights are 1 if None."""
    order = rising_order(predictions)
    prediction = predictions[order].astype(np.float64)
    positive = labels[order].astype(np.float64)
    mass = np.ones(len(order)) if weights is None else weights[order].astype(np.float64)
    positive *= mass
    squares = mass * mass
    columns = [np.subtract(mass, positive, out=mass), positive, squares]
    repeated = np.flatnonzero(prediction[1:] == prediction[:-1]) + 1
    distinct, sizes = prediction, None
    if len(repeated):
        first = np.delete(np.arange(len(order)), repeated)
        group = np.searchsorted(first, repeated, side="right") - 1
        for number, column in enumerate(columns):
            columns[number] = column[first]
            np.add.at(columns[number], group, column[repeated])
        distinct, sizes = prediction[first], np.diff(np.append(first, len(order)))
    return GroupedRows(PredictionGroups(distinct, *columns), order, sizes)


def rising_order(values: NDArray[Any]) -> NDArray[np.int64]:
    """As ``np.argsort``, NaN last; by `radix_order` for float32 of 0 and more, whose bits rise as they do."""
    if values.dtype != np.float32 or np.signbit(values).any():
        return np.argsort(values, kind="stable")
    return radix_order(np.ascontiguousarray(values).view(np.uint32))


def radix_order(keys: NDArray[np.uint32]) -> NDArray[np.int64]:
    """A stable ``np.argsort`` of 32-bit keys by two of 16 bits, which numpy does by radix: 2 to 4 times as fast."""
    low = np.argsort(keys.astype(np.uint16), kind="stable")
    high = (keys >> np.uint32(16)).astype(np.uint16)
    return low[np.argsort(high[low], kind="stable")] if high.any() else low
