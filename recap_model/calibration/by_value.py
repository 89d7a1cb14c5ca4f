"""A task's calibration corrected for each value of a discrete column, as far as its rows bear it out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recap_model.calibration.fit import TaskCalibration, as_good, calibrated_logit
from recap_model.calibration.histogram import Array, Bins, LogitHistogram
from recap_model.calibration.logistic import fit_logistic, log_loss, sigmoid
from recap_model.calibration.modules import MIN_SLOPE, ByValueCalibrator

STRENGTHS = (1000.0, 300.0, 100.0, 30.0, 10.0)
"""Strengths of the pull to the common map that are tried, in events: positives, or negatives if fewer."""

_BINS = 1024
# Of a gain on five folds, beyond which chance goes once in twenty: the many numbers of a correction are to be earned.
_ERRORS = 2.13
_AS_IT_IS = (1.0, 0.0)


class HistogramByValue:
    """A histogram of logits for each of some values of a discrete column, and one for all other rows.

    Coarser than `LogitHistogram` (32 bins for a unit of logit), as it only serves corrections. One pass fills it,
    and histograms of parts add up.

    Args:
        values: the column's values that count by themselves.
    """

    def __init__(self, tasks: Sequence[str], values: Sequence[int], folds: int = 5):
        self.values = sorted(values)
        self.folds = folds
        self._sorted = np.array(self.values, np.int64)
        # A value and a fold make one fold of the histogram below.
        self._histogram = LogitHistogram(tasks, folds * (len(self.values) + 1), bins=_BINS)

    def add(
        self,
        logits: NDArray[np.floating],
        labels: NDArray[np.floating],
        weights: NDArray[np.floating],
        folds: NDArray[np.integer],
        column: NDArray[np.integer],
    ) -> None:
        """Count a batch of rows as `LogitHistogram.add` does; ``column`` (rows,) has their values."""
        place = np.searchsorted(self._sorted, column)
        known = np.append(self._sorted, 0)[place] == column
        place = np.where(known & (place < len(self.values)), place, len(self.values))
        self._histogram.add(logits, labels, weights, place * self.folds + folds)

    def merge(self, other: "HistogramByValue") -> None:
        """Add another histogram's rows. Raises ValueError if tasks, values or folds differ."""
        if (self.values, self.folds) != (other.values, other.folds):
            raise ValueError("histograms of different values or folds do not add up")
        self._histogram.merge(other._histogram)

    def bins(self, task: str, value: int | None, folds: Sequence[int] | None = None) -> Bins:
        """The bins of one value's rows, or with None those of all values that do not count by themselves."""
        place = len(self.values) if value is None else self.values.index(value)
        chosen = range(self.folds) if folds is None else folds
        return self._histogram.bins(task, [place * self.folds + fold for fold in chosen])


def fit_by_value(histogram: HistogramByValue, common: TaskCalibration, column: int) -> TaskCalibration:
    """Put behind a task's common map a scale and a bias for each value, if they predict held-out folds better.

    A value's map is a Platt map drawn to the common one by a normal prior that is worth a number of events, chosen
    from `STRENGTHS` by cross-validation: a value that expects many times as many keeps what its rows say, one that
    expects few keeps the common map. (A random-effects model; Gelman and Hill, "Data Analysis Using Regression and
    Multilevel/Hierarchical Models", 2007, sec. 12.2.) The correction is taken if it gains over 2.13 standard errors
    of the folds' mean loss.

    Args:
        column: number of the values' column in the discrete group.

    Returns:
        The calibration with a `ByValueCalibrator`; or with the common map, and a reason.
    """
    task = common.task
    parts = [value for value in histogram.values if histogram.bins(task, value).rows]
    folds = [
        fold
        for fold in range(histogram.folds)
        if any(histogram.bins(task, value, [fold]).total for value in parts)
    ]
    if len(folds) < 2:
        return replace(common, reason=f"{common.reason}; not by value: its rows are all in one fold")
    mass = np.array([sum(histogram.bins(task, value, [fold]).total for value in parts) for fold in folds])
    losses = {
        strength: _fold_losses(histogram, common, parts, folds, strength) for strength in (np.inf, *STRENGTHS)
    }
    means = {strength: float(np.average(loss, weights=mass)) for strength, loss in losses.items()}
    best = min(STRENGTHS, key=lambda strength: means[strength])
    compared = f"cross-validated log loss {means[best]:.6f} against {means[np.inf]:.6f}"
    if as_good(losses[np.inf], losses[best], _ERRORS):
        return replace(common, reason=f"{common.reason}; not by value: {compared} without")
    maps = [_fit(histogram.bins(task, value), common, best) for value in parts]
    assert not isinstance(common.calibrator, ByValueCalibrator)
    calibrator = ByValueCalibrator(
        column=column,
        values=parts,
        scales=[scale for scale, _ in maps],
        biases=[bias for _, bias in maps],
        base=common.calibrator,
    )
    reason = (
        f"{common.reason}; by {len(parts)} values, drawn to the common map as by {best:g} events: {compared}"
    )
    return replace(common, reason=reason, calibrator=calibrator)


def shared_by_value(
    histogram: HistogramByValue, calibration: TaskCalibration
) -> list[tuple[int | None, Bins, Array]]:
    """Each value with its bins and what the common map makes of their logits (bins,); last, as None, other rows."""
    parts = [(value, histogram.bins(calibration.task, value)) for value in (*histogram.values, None)]
    return [(value, bins, _common(calibration, bins)) for value, bins in parts]


def _fold_losses(
    histogram: HistogramByValue,
    common: TaskCalibration,
    parts: Sequence[int],
    folds: Sequence[int],
    strength: float,
) -> Array:
    """The log loss on each fold of what is fitted on the others; the common map, alike in all, saw all folds."""
    losses = []
    for held_out in folds:
        loss = mass = 0.0
        for value in parts:
            held = histogram.bins(common.task, value, [held_out])
            if held.total:
                seen = histogram.bins(common.task, value, [fold for fold in folds if fold != held_out])
                own = _fit(seen, common, strength)
                loss += held.total * log_loss(held, _mapped(own, _common(common, held)))
                mass += held.total
        losses.append(loss / mass)
    return np.array(losses)


def _fit(bins: Bins, common: TaskCalibration, strength: float) -> tuple[float, float]:
    """The scale and bias behind the common map that a value's rows and the prior agree on."""
    if not bins.total or np.isinf(strength):
        return _AS_IT_IS
    logit, share = _common(common, bins), bins.weight / bins.total
    probability = sigmoid(logit)
    expected = float((share * probability).sum())
    events = bins.rows * min(expected, 1.0 - expected)
    middle = float((share * logit).sum())
    design = np.stack([logit - middle, np.ones_like(logit)], axis=1)
    # What an expected event tells of each number, by the common map: it holds where no positive was seen too.
    told = (share * probability * (1.0 - probability)) @ design**2
    scale, height = fit_logistic(
        design,
        bins,
        start=np.array([1.0, middle]),
        lower=np.array([MIN_SLOPE, -np.inf]),
        penalty=np.diag(strength / max(events, 1e-9) * told + 1e-12),
        centre=np.array([1.0, middle]),
    )
    return float(scale), float(height - scale * middle)


def _common(calibration: TaskCalibration, bins: Bins) -> Array:
    calibrator = calibration.calibrator
    return calibrated_logit(
        calibrator.base if isinstance(calibrator, ByValueCalibrator) else calibrator, bins.logit
    )


def _mapped(own: tuple[float, float], logit: Array) -> Array:
    scale, bias = own
    return scale * logit + bias
