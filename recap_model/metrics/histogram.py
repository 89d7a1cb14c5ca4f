"""Mergeable histograms of logits, for calibration and for metrics of more than a million rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recap_model.metrics.groups import Array, PredictionGroups

LOW, HIGH, BINS = -20.0, 12.0, 4096  # 128 bins for a unit of logit; the scale of 1e-9 to 1 - 6e-6
_LEAST, _MOST = np.float32(1e-9), np.float32(1.0 - 2**-24)


@dataclass(frozen=True)
class Bins:
    """The bins of one task that hold any weight, by rising logit.

    Shape:
        weight, label, logit: (bins,) the sum of weights, the sum of weight times label, and the weighted
            mean of the logits.
        squares: (bins,) the sum of squared weights.
        numbers: (bins,) which of the histogram's bins they are.
    ``rows`` and ``positives`` count rows, without weights.
    """

    weight: Array
    label: Array
    logit: Array
    squares: Array
    numbers: NDArray[np.int64]
    rows: int
    positives: int

    def groups(self, logit: Array | None = None) -> PredictionGroups:
        """The rows as metrics take them, when each bin is given its calibrated ``logit`` (bins,), rising."""
        probability = sigmoid(self.logit if logit is None else logit)
        return PredictionGroups(probability, self.weight - self.label, self.label, self.squares)

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self.weight.sum())

    @property
    def mean_logit(self) -> float:
        """Over the rows, weighted."""
        return float((self.weight * self.logit).sum() / self.total)


def sigmoid(logit: Array) -> Array:
    """``1 / (1 + exp(-logit))`` without overflow."""
    small = np.exp(-np.abs(logit))
    return np.where(logit >= 0, 1.0, small) / (1.0 + small)


def logits_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log odds, which for 0 and 1 are those of 1e-9 and of 1 - 2^-24: (rows,)."""
    log: NDArray[np.float32] = np.log(np.maximum(probabilities, _LEAST))
    log -= np.log1p(-np.minimum(probabilities, _MOST))
    return log


class LogitHistogram:
    """Weights, their squares, weighted labels and weighted logits in uniform bins of the logit, 4,096 by default.

    One pass over the rows fills it, in memory that does not depend on their number; histograms of parts add
    up to the histogram of all (`merge`). A logit beyond the outermost bins counts in them, with its own value
    in the sum of logits; ``clipped`` says how often that happened.

    Shape:
        weight, label, logit, squares: (tasks, folds, bins) float64.
        rows, positives: (tasks, folds) int64, of labelled rows.
        clipped: (tasks,) int64.
    """

    def __init__(self, tasks: Sequence[str], folds: int = 5, bins: int = BINS):
        self.tasks = list(tasks)
        self.folds = folds
        self.weight = np.zeros((len(self.tasks), folds, bins))
        self.label = np.zeros_like(self.weight)
        self.logit = np.zeros_like(self.weight)
        self.squares = np.zeros_like(self.weight)
        self.rows = np.zeros((len(self.tasks), folds), np.int64)
        self.positives = np.zeros_like(self.rows)
        self.clipped = np.zeros(len(self.tasks), np.int64)

    def add(
        self,
        logits: NDArray[np.floating],
        labels: NDArray[np.floating],
        weights: NDArray[np.floating],
        folds: NDArray[np.integer],
    ) -> None:
        """Count a batch of rows. A NaN label is missing: the row does not count for that task.

        Shape:
            logits, labels, weights: (rows, tasks); folds: (rows,) from 0 to the number of folds - 1.

        Raises:
            ValueError: a logit is not finite, or a weight negative or not finite; it names the task.
        """
        for number, task in enumerate(self.tasks):
            there = ~np.isnan(labels[:, number])
            logit, label, weight = (values[there, number] for values in (logits, labels, weights))
            if not np.isfinite(logit).all():
                raise ValueError(f"task {task}: the model gives a logit that is not finite; train it again")
            if not (np.isfinite(weight) & (weight >= 0)).all():
                raise ValueError(f"task {task}: a row's weight is negative or not finite; run prepare again")
            self._add_task(number, logit, label, weight, folds[there])

    def _add_task(
        self,
        number: int,
        logit: NDArray[np.floating],
        label: NDArray[np.floating],
        weight: NDArray[np.floating],
        fold: NDArray[np.integer],
    ) -> None:
        shape = self.weight.shape[1:]
        bins = shape[1]
        cell = bin_numbers(logit, bins) + fold * bins
        weight = weight.astype(np.float64)
        for sums, value in (
            (self.weight, weight),
            (self.label, weight * label),
            (self.logit, weight * logit),
            (self.squares, weight * weight),
        ):
            sums[number] += np.bincount(cell, value, minlength=self.folds * bins).reshape(shape)
        self.rows[number] += np.bincount(fold, minlength=self.folds)
        self.positives[number] += np.bincount(fold[label > 0.5], minlength=self.folds)
        self.clipped[number] += int(((logit < LOW) | (logit >= HIGH)).sum())

    def merge(self, other: "LogitHistogram") -> None:
        """Add another histogram's rows to this one's. Raises ValueError if tasks or folds differ."""
        if (self.tasks, self.folds) != (other.tasks, other.folds):
            raise ValueError(
                f"histograms of tasks {self.tasks} in {self.folds} folds and of tasks {other.tasks} in "
                f"{other.folds} folds do not add up"
            )
        for name in ("weight", "label", "logit", "squares", "rows", "positives", "clipped"):
            getattr(self, name).__iadd__(getattr(other, name))

    def bins(self, task: str, folds: Sequence[int] | None = None) -> Bins:
        """The bins of a task, over all folds or those listed."""
        number = self.tasks.index(task)
        chosen = list(range(self.folds)) if folds is None else list(folds)
        weight, label, logit, squares = (
            sums[number, chosen].sum(axis=0) for sums in (self.weight, self.label, self.logit, self.squares)
        )
        held = np.flatnonzero(weight)
        return Bins(
            weight=weight[held],
            label=label[held],
            logit=logit[held] / weight[held],
            squares=squares[held],
            numbers=held,
            rows=int(self.rows[number, chosen].sum()),
            positives=int(self.positives[number, chosen].sum()),
        )


def bin_numbers(logits: NDArray[np.floating], bins: int) -> NDArray[np.int64]:
    """The bin of each logit, those beyond the outermost bins in them: (rows,)."""
    position = (logits.astype(np.float64) - LOW) * (bins / (HIGH - LOW))
    return np.clip(position, 0, bins - 1).astype(np.int64)
