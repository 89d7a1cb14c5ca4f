"""Rows of one task and model by bins of log odds: what every metric here can be taken from, in bounded memory."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recap_model.metrics.rows import Array

LOW, HIGH, BINS = -20.0, 20.0, 20_480  # 512 bins for a unit of log odds

Column = NDArray[np.float32]
Cells = NDArray[np.int64]


class SketchedRows(NamedTuple):
    """Two rows for each bin that holds any weight, one of each label, with the bin's mean prediction: (rows,) each.

    ``squares`` are sums of squared weights, of which the error of a bin's rate is made.
    """

    labels: Array
    predictions: Array
    weights: Array
    squares: Array


def cells_of(labels: Column, predictions: Column) -> Cells:
    """Where each row belongs: twice its bin, plus its label of 0 or 1. Predictions must be finite."""
    # In float32 log odds are off by a ten-thousandth of a bin at most, but for predictions near 1.
    odds = np.log(np.maximum(predictions, np.float32(1e-9))) - np.log1p(
        -np.minimum(predictions, np.float32(1.0 - 2**-24))
    )
    odds -= np.float32(LOW)
    odds *= np.float32(BINS / (HIGH - LOW))
    np.clip(odds, 0, BINS - 1, out=odds)
    cells = odds.astype(np.int64)
    cells *= 2
    cells += labels > 0.5
    return cells


class ProbabilitySketch:
    """Sums of weights, weighted predictions and squared weights by bin of log odds and label.

    One pass fills it, in memory that does not depend on the number of rows, and sketches of parts add up (`merge`).
    Metrics are taken of `rows`. The sums are exact, so mean prediction and calibration ratio are too. Inside a bin
    predictions differ by less than 1/512 in log odds: log loss and Brier's score are off by some .0002 over the root
    of the number of rows, as chance has it which labels lie where in a bin, and AUC by `auc_error` at most, which
    counts all pairs inside a bin as wrong.

    Shape:
        weight, predicted, squares: (bins, 2) float64, by label.
    """

    def __init__(self) -> None:
        self.weight, self.predicted, self.squares = (np.zeros((BINS, 2)) for _ in range(3))

    def add(self, cells: Cells, predictions: Column, weights: Column | None) -> None:
        """Count rows: (rows,) each. Weights are 1 if None."""
        counts = np.bincount(cells, weights, minlength=2 * BINS).reshape(BINS, 2)
        self.weight += counts
        weighted = predictions if weights is None else predictions * weights
        self.predicted += np.bincount(cells, weighted, minlength=2 * BINS).reshape(BINS, 2)
        self.squares += (
            counts
            if weights is None
            else np.bincount(cells, weights.astype(np.float64) ** 2, minlength=2 * BINS).reshape(BINS, 2)
        )

    def merge(self, other: "ProbabilitySketch") -> None:
        """Add another sketch's rows to this one's."""
        for name in ("weight", "predicted", "squares"):
            getattr(self, name).__iadd__(getattr(other, name))

    def rows(self) -> SketchedRows:
        """What the metrics of this package take, with hardly any rows."""
        mass = self.weight.sum(axis=1)
        held = mass > 0
        predictions = np.repeat(self.predicted[held].sum(axis=1) / mass[held], 2)
        labels = np.tile([0.0, 1.0], int(held.sum()))
        return SketchedRows(labels, predictions, self.weight[held].ravel(), self.squares[held].ravel())

    def auc_influence(self) -> tuple[float, Array]:
        """AUC, and how it changes with the count of a row of weight 1, by cell: (2 * bins,).

        As `auc_influence` of rows: NaN and zeros for labels of one class.
        """
        negative, positive = self.weight.T
        if not positive.sum() or not negative.sum():
            return float("nan"), np.zeros(2 * BINS)
        over = (np.cumsum(negative) - negative / 2) / negative.sum()
        under = (positive.sum() - np.cumsum(positive) + positive / 2) / positive.sum()
        area = float(positive @ over / positive.sum())
        change = np.stack([(under - area) / negative.sum(), (over - area) / positive.sum()], axis=1)
        return area, change.ravel()

    def auc_error(self) -> float:
        """The most by which the AUC of `rows` can be off: half the share of pairs that lie in one bin."""
        negative, positive = self.weight.T
        pairs = float(positive.sum() * negative.sum())
        return float(positive @ negative) / pairs / 2 if pairs else float("nan")
