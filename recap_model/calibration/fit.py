"""Choose and fit a task's calibrator from its histogram."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from recap_model.calibration.isotonic import fit_isotonic
from recap_model.calibration.logistic import log_loss
from recap_model.calibration.modules import LogitCalibrator
from recap_model.calibration.parametric import fit_beta, fit_platt, fit_temperature
from recap_model.calibration.piecewise import STRENGTHS, fit_piecewise
from recap_model.config.steps.calibration import CalibrationConfig
from recap_model.metrics.groups import Array
from recap_model.metrics.histogram import Bins, LogitHistogram

Fit = Callable[[Bins], LogitCalibrator | None]

_FITS: dict[str, Fit] = {
    "none": lambda bins: None,
    "temperature": fit_temperature,
    "platt": fit_platt,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}
_FROM_SIMPLEST = ("none", "temperature", "platt", "beta")


@dataclass(frozen=True)
class TaskCalibration:
    """A task's calibrator, and why it is this one. ``calibrator`` is None where the logit stays as it is.

    ``cross_validated`` has the log loss on held-out folds of each method that was compared.
    """

    task: str
    method: str
    reason: str
    calibrator: LogitCalibrator | None
    cross_validated: dict[str, float] = field(default_factory=dict)


def fit_calibrations(histogram: LogitHistogram, config: CalibrationConfig) -> list[TaskCalibration]:
    """Fit every task of a histogram; the errors are those of `fit_task`."""
    return [fit_task(histogram, task, config) for task in histogram.tasks]


def fit_task(histogram: LogitHistogram, task: str, config: CalibrationConfig) -> TaskCalibration:
    """Fit the calibrator that the config asks for.

    A task with fewer than ``min_positives`` positives or negatives keeps the analytic correction alone and says so.

    Raises:
        ValueError: no row has a label for the task, or all labels are equal, and the config does not allow for it.
    """
    bins, method = histogram.bins(task), config.method_of(task)
    if not bins.rows or not bins.total:
        if config.on_one_class == "keep":
            reason = "no row of the calibration set has a label (and a weight): the analytic correction alone"
            return TaskCalibration(task, "none", reason, None)
        raise ValueError(
            f"task {task}: no row of the calibration set has a label (and a weight); make its share or days larger, "
            "remove the task, or allow for it by calibration.on_one_class: keep"
        )
    if bins.positives in (0, bins.rows) and config.on_one_class == "error":
        kind = "positive" if bins.positives else "negative"
        raise ValueError(
            f"task {task}: all {bins.rows:,} labels of the calibration set are {kind}, so there is nothing to "
            "calibrate; look at the label's column, make the set larger, or allow for it by "
            "calibration.on_one_class: keep"
        )
    if method == "none":
        return TaskCalibration(task, "none", "configured", None)
    for kind, count in (("positives", bins.positives), ("negatives", bins.rows - bins.positives)):
        if count < config.min_positives:
            reason = (
                f"{count} {kind} in the calibration set, under calibration.min_positives "
                f"{config.min_positives}: the analytic correction alone"
            )
            return TaskCalibration(task, "none", reason, None)
    if method in ("auto", "piecewise") and len(_folds_with_positives(histogram, task)) < 2:
        reason = f"{method} needs positives in two folds, and they are all in one"
        return TaskCalibration(task, "platt", reason, fit_platt(bins))
    if method == "auto":
        return _choose_simplest(histogram, task, config)
    if method == "piecewise":
        strength, losses = _best_strength(histogram, task, config)
        calibrator = fit_piecewise(bins, strength, config.knots)
        reason = f"configured; pull to a straight line {strength:g} by cross-validation"
        return TaskCalibration(task, method, reason, calibrator, {method: _mean(losses, histogram, task)})
    return TaskCalibration(task, method, "configured", _FITS[method](bins))


def calibrated_logit(calibrator: LogitCalibrator | None, logit: Array) -> Array:
    """What a calibrator makes of logits, in float64: (bins,) to (bins,)."""
    if calibrator is None:
        return logit
    with torch.no_grad():
        return calibrator(torch.from_numpy(logit)).double().numpy()


def within_standard_errors(losses: Array, best: Array, errors: float = 0.5) -> bool:
    """Whether the mean difference of two losses (folds,) is at most so many of its standard errors.

    Between maps of a few numbers, a whole one (Breiman et al. 1984, sec. 3.4.3) left shifts of two standard
    deviations of the mean label uncorrected in simulations; none at all took four-parameter maps of logits that
    were right.
    """
    difference = losses - best
    return bool(difference.mean() <= errors * difference.std(ddof=1) / np.sqrt(len(difference)))


def _choose_simplest(histogram: LogitHistogram, task: str, config: CalibrationConfig) -> TaskCalibration:
    bins = histogram.bins(task)
    losses = {name: _fold_losses(histogram, task, _FITS[name]) for name in _FROM_SIMPLEST}
    strength = 0.0
    if min(bins.positives, bins.rows - bins.positives) >= config.min_piecewise_positives:
        strength, losses["piecewise"] = _best_strength(histogram, task, config)
    means = {name: _mean(values, histogram, task) for name, values in losses.items()}
    best = min(means, key=lambda name: means[name])
    chosen = next(name for name in losses if within_standard_errors(losses[name], losses[best]))
    reason = f"lowest cross-validated log loss, {means[chosen]:.6f}"
    if chosen != best:
        reason = (
            f"simplest within half a standard error of {best}: cross-validated log loss {means[chosen]:.6f} "
            f"against {means[best]:.6f}"
        )
    fit = _FITS.get(chosen, lambda rows: fit_piecewise(rows, strength, config.knots))
    return TaskCalibration(task, chosen, reason, fit(bins), means)


def _best_strength(histogram: LogitHistogram, task: str, config: CalibrationConfig) -> tuple[float, Array]:
    def losses_with(strength: float) -> Array:
        return _fold_losses(histogram, task, lambda bins: fit_piecewise(bins, strength, config.knots))

    tried = {strength: losses_with(strength) for strength in STRENGTHS}
    best = min(tried, key=lambda strength: _mean(tried[strength], histogram, task))
    return best, tried[best]


def _fold_losses(histogram: LogitHistogram, task: str, fit: Fit) -> Array:
    """The log loss on each fold of what is fitted on the others: (filled folds,)."""
    folds = _folds_with_positives(histogram, task)
    losses = []
    for held_out in folds:
        calibrator = fit(histogram.bins(task, [fold for fold in folds if fold != held_out]))
        held = histogram.bins(task, [held_out])
        losses.append(log_loss(held, calibrated_logit(calibrator, held.logit)))
    return np.array(losses)


def _folds_with_positives(histogram: LogitHistogram, task: str) -> list[int]:
    number = histogram.tasks.index(task)
    return [fold for fold in range(histogram.folds) if histogram.positives[number, fold]]


def _mean(losses: Array, histogram: LogitHistogram, task: str) -> float:
    weights = [histogram.bins(task, [fold]).total for fold in _folds_with_positives(histogram, task)]
    return float(np.average(losses, weights=weights))
