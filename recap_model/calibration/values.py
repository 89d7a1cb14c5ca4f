"""Calibrate predicted values by a constant factor or a monotone map, both of which preserve the mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from recap_model.calibration.fit import within_standard_errors
from recap_model.calibration.isotonic import pool_adjacent_violators
from recap_model.calibration.modules import MIN_SLOPE, ValueCalibrator
from recap_model.config.steps.calibration import CalibrationConfig
from recap_model.metrics.groups import Array

BINS = 4096
_MOST_SCALES = 1e5  # in scales; larger predictions count in the last bin
_LEAST_SCALES = 1e-6  # in scales, so that a value of 0 has a logarithm
# Of the monotone map. With 10 to 40 of 2,000 rows each its deciles were right on simulated dwell times; pooled from
# single bins, the lowest and the highest decile were off by a tenth, as isotonic regression's ends are.
_GROUPS = 20

_SUMS = ("weight", "label", "prediction", "squared_label")


@dataclass(frozen=True)
class ValueBins:
    """The bins of one task that hold any weight, by rising prediction.

    Shape:
        weight: (bins,); label, squared_label: (bins,) sums of weight times y and y^2.
        prediction: (bins,) the weighted mean prediction.
    """

    weight: Array
    label: Array
    squared_label: Array
    prediction: Array
    scale: float
    rows: int

    def squared_error(self, values: Array) -> float:
        """The weighted mean of (v - y)^2 if each bin is given a value: (bins,)."""
        loss = self.weight * values**2 - 2.0 * values * self.label + self.squared_label
        return float(loss.sum() / self.weight.sum())

    def poisson_loss(self, values: Array) -> float:
        """The weighted mean of v - y log v, in scales: half the Poisson deviance less a constant of the labels."""
        scaled = np.maximum(values / self.scale, _LEAST_SCALES)
        loss = self.weight * scaled - self.label / self.scale * np.log(scaled)
        return float(loss.sum() / self.weight.sum())


class ValueHistogram:
    """Sums of labels by predicted value, in bins that are uniform in ``log1p(prediction / scale)``.

    One pass over the rows fills it, in memory that does not depend on their number; histograms of parts add up to
    the histogram of all (`merge`).

    Args:
        scales: of each task, a typical value: bins are finest below it, and of equal ratio above.

    Shape:
        sums: (kinds of sums, tasks, folds, bins) float64; rows: (tasks, folds) int64, of labelled rows.
    """

    def __init__(self, tasks: Sequence[str], scales: Sequence[float], folds: int = 5):
        self.tasks, self.scales, self.folds = list(tasks), list(scales), folds
        self.sums = np.zeros((len(_SUMS), len(self.tasks), folds, BINS))
        self.rows = np.zeros((len(self.tasks), folds), np.int64)

    def add(
        self,
        predictions: NDArray[np.floating],
        labels: NDArray[np.floating],
        weights: NDArray[np.floating],
        folds: NDArray[np.integer],
    ) -> None:
        """Count a batch of rows; a NaN label is missing.

        Shape:
            predictions, labels, weights: (rows, tasks); folds: (rows,) from 0 to the number of folds - 1.

        Raises:
            ValueError: a prediction is not finite; it names the task.
        """
        for number, task in enumerate(self.tasks):
            there = ~np.isnan(labels[:, number])
            columns = (values[there, number].astype(np.float64) for values in (predictions, labels, weights))
            prediction, label, weight = columns
            if not np.isfinite(prediction).all():
                raise ValueError(f"task {task}: the model gives a value that is not finite; train it again")
            position = np.log1p(np.maximum(prediction, 0.0) / self.scales[number]) / np.log1p(_MOST_SCALES)
            cell = np.minimum((position * BINS).astype(np.int64), BINS - 1) + folds[there] * BINS
            for place, values in enumerate((weight, weight * label, weight * prediction, weight * label**2)):
                counted = np.bincount(cell, values, minlength=self.folds * BINS)
                self.sums[place, number] += counted.reshape(self.folds, BINS)
            self.rows[number] += np.bincount(folds[there], minlength=self.folds)

    def merge(self, other: "ValueHistogram") -> None:
        """Add another histogram's rows to this one's. Raises ValueError if tasks, scales or folds differ."""
        if (self.tasks, self.scales, self.folds) != (other.tasks, other.scales, other.folds):
            raise ValueError("histograms of other tasks, scales or folds do not add up")
        self.sums += other.sums
        self.rows += other.rows

    def bins(self, task: str, folds: Sequence[int] | None = None) -> ValueBins:
        """The bins of a task, over all folds or those listed."""
        number = self.tasks.index(task)
        chosen = list(range(self.folds)) if folds is None else list(folds)
        weight, label, prediction, squared = self.sums[:, number, chosen].sum(axis=1)
        held = np.flatnonzero(weight)
        return ValueBins(
            weight=weight[held],
            label=label[held],
            squared_label=squared[held],
            prediction=prediction[held] / weight[held],
            scale=self.scales[number],
            rows=int(self.rows[number, chosen].sum()),
        )


@dataclass(frozen=True)
class ValueCalibration:
    """A value task's calibrator and why it is this one; None where predictions stay as they are.

    ``cross_validated`` has each method's Poisson loss on held-out folds.
    """

    task: str
    method: str
    reason: str
    calibrator: ValueCalibrator | None
    cross_validated: dict[str, float] = field(default_factory=dict)


def fit_factor(bins: ValueBins) -> ValueCalibrator:
    """The constant factor after which the mean prediction is the mean label."""
    factor = max(float(bins.label.sum() / (bins.weight * bins.prediction).sum()), MIN_SLOPE)
    return ValueCalibrator(knots=[0.0], value=0.0, slopes=[factor, factor])


def fit_monotone(bins: ValueBins) -> ValueCalibrator:
    """Isotonic regression of groups with straight lines between blocks' centres, scaled to preserve the mean.

    Each group has as much of the rows and of the sum of labels, taken together, so that the tail has knots too.
    Pooled adjacent violators (Barlow et al., "Statistical Inference under Order Restrictions", 1972) preserve the
    mean block by block; lines between centres (Oron and Flournoy, Stat. Biopharm. Res. 9(3), 2017) keep predictions
    apart that differ and change the mean a little, which a factor undoes. The map starts at 0 and goes on behind
    the last centre with the slope of the line from 0 to it.
    """
    position = np.log1p(np.maximum(bins.prediction, 0.0) / bins.scale)
    sums = (bins.weight, bins.label, bins.weight * position)
    grouped: Array = np.array([np.bincount(_assign_groups(bins), one, minlength=_GROUPS) for one in sums])
    weight, label, moment = grouped[:, grouped[0] > 0.0]
    weight, label, centre = pool_adjacent_violators(weight, label, moment / weight)
    knots, heights = bins.scale * np.expm1(centre), label / weight
    inside = knots > 1e-9 * bins.scale
    knots, heights = np.append(0.0, knots[inside]), np.append(0.0, heights[inside])
    if len(knots) < 2:
        return fit_factor(bins)
    slopes = np.maximum(np.diff(heights) / np.diff(knots), MIN_SLOPE)
    tail = max(heights[-1] / knots[-1], MIN_SLOPE)
    values = np.interp(bins.prediction, knots, np.append(0.0, np.cumsum(slopes * np.diff(knots))))
    values += tail * np.maximum(bins.prediction - knots[-1], 0.0)
    factor = float(bins.label.sum() / (bins.weight * values).sum())
    scaled = np.maximum(factor * np.array([slopes[0], *slopes, tail]), MIN_SLOPE)
    return ValueCalibrator(knots=knots.tolist(), value=0.0, slopes=scaled.tolist())


def _assign_groups(bins: ValueBins) -> NDArray[np.int64]:
    """The group of each bin (bins,), from 0 to `_GROUPS` - 1 by rising prediction."""
    below = sum((np.cumsum(one) - one / 2.0) / one.sum() for one in (bins.weight, bins.label))
    groups: NDArray[np.int64] = np.minimum((below * _GROUPS / 2.0).astype(np.int64), _GROUPS - 1)
    return groups


_FROM_SIMPLEST: dict[str, Callable[[ValueBins], ValueCalibrator]] = {
    "factor": fit_factor,
    "isotonic": fit_monotone,
}


def fit_value_task(histogram: ValueHistogram, task: str, config: CalibrationConfig) -> ValueCalibration:
    """Fit a factor, or a monotone map where the factor is not within half a standard error of it.

    Losses are Poisson deviances on held-out folds, which the mean given the prediction minimises (Gneiting, JASA 106,
    2011) and in which an error of small values counts; squared errors are those of a long tail's few largest labels.
    Predictions stay as they are only if the config says so: a median, as of ``loss: mae``, may be a fifth under the
    mean. A task with fewer rows than ``min_positives`` has a factor alone.

    Raises:
        ValueError: no row has a label, or no label is over 0, and the config does not allow for it.
    """
    bins, min_rows = histogram.bins(task), config.min_positives
    if config.method_of(task) == "none":
        return ValueCalibration(task, "none", "configured", None)
    if not bins.rows or not bins.label.sum() > 0 or not (bins.weight * bins.prediction).sum() > 0:
        if config.on_one_class == "keep":
            return ValueCalibration(task, "none", "no row of the calibration set has a label over 0", None)
        what = "has a label" if not bins.rows else "has a label and a prediction over 0"
        raise ValueError(
            f"task {task}: no row of the calibration set {what}; make its share or days larger, or "
            "allow for it by calibration.on_one_class: keep"
        )
    if bins.rows < min_rows:
        reason = f"{bins.rows} rows, under {min_rows}: a factor alone"
        return ValueCalibration(task, "factor", reason, fit_factor(bins))
    number = histogram.tasks.index(task)
    folds = [fold for fold in range(histogram.folds) if histogram.rows[number, fold]]
    if len(folds) < 2:
        return ValueCalibration(task, "factor", "all rows are in one fold: a factor alone", fit_factor(bins))
    losses = {method: _fold_losses(histogram, task, folds, fit) for method, fit in _FROM_SIMPLEST.items()}
    weights = [histogram.bins(task, [fold]).weight.sum() for fold in folds]
    means = {method: float(np.average(values, weights=weights)) for method, values in losses.items()}
    best = min(means, key=lambda method: means[method])
    chosen = next(method for method in losses if within_standard_errors(losses[method], losses[best]))
    reason = f"lowest cross-validated Poisson loss, {means[chosen]:.6g}"
    if chosen != best:
        reason = (
            f"simplest within half a standard error of {best}, {means[chosen]:.6g} against {means[best]:.6g}"
        )
    return ValueCalibration(task, chosen, reason, _FROM_SIMPLEST[chosen](bins), means)


def calibrated_values(calibrator: ValueCalibrator | None, values: Array) -> Array:
    """What a calibrator makes of values, in float64: (bins,) to (bins,)."""
    if calibrator is None:
        return values
    with torch.no_grad():
        return calibrator(torch.from_numpy(values)).double().numpy()


def _fold_losses(
    histogram: ValueHistogram, task: str, folds: list[int], fit: Callable[[ValueBins], ValueCalibrator]
) -> Array:
    """The Poisson loss on each fold of what is fitted on the others: (folds,)."""
    losses = []
    for held_out in folds:
        calibrator = fit(histogram.bins(task, [fold for fold in folds if fold != held_out]))
        held = histogram.bins(task, [held_out])
        losses.append(held.poisson_loss(calibrated_values(calibrator, held.prediction)))
    return np.array(losses)
