"""Parametric calibration: temperature, Platt scaling of the logit, beta."""

import numpy as np

from recap_model.calibration.logistic import fit_logistic, softplus
from recap_model.calibration.modules import MIN_SLOPE, AffineCalibrator, BetaCalibrator
from recap_model.metrics.groups import Array
from recap_model.metrics.histogram import Bins, sigmoid


def fit_temperature(bins: Bins) -> AffineCalibrator:
    """One scale of the logit (Guo et al. 2017): it cannot move the mean where the logits' sign is right."""
    design = bins.logit[:, None]
    [scale] = fit_logistic(
        design,
        bins,
        start=np.ones(1),
        lower=np.full(1, MIN_SLOPE),
        penalty=_one_event(design, bins),
        centre=np.ones(1),
    )
    return AffineCalibrator(scale=float(scale))


def fit_platt(bins: Bins) -> AffineCalibrator:
    """A scale and a bias of the logit (Platt 1999), with a prior of one positive's worth on a scale of 1.

    The prior keeps the scale finite where some logit parts all positives from all negatives; Platt's smoothed
    targets do the same for unweighted rows.
    """
    middle = bins.mean_logit
    design = np.stack([bins.logit - middle, np.ones_like(bins.logit)], axis=1)
    penalty = _one_event(design[:, :1], bins, size=2)
    scale, bias = fit_logistic(
        design,
        bins,
        start=np.array([1.0, middle + shift_to_observed(bins)]),
        lower=np.array([MIN_SLOPE, -np.inf]),
        penalty=penalty,
        centre=np.array([1.0, 0.0]),
    )
    return AffineCalibrator(scale=float(scale), bias=float(bias - scale * middle))


def fit_beta(bins: Bins) -> BetaCalibrator:
    """The two slopes and the bias of beta calibration (Kull et al. 2017), both slopes kept positive."""
    design = np.stack(
        [-softplus(-bins.logit), softplus(bins.logit), np.ones_like(bins.logit)],
        axis=1,
    )
    left, right, bias = fit_logistic(
        design,
        bins,
        start=np.array([1.0, 1.0, shift_to_observed(bins)]),
        lower=np.array([MIN_SLOPE, MIN_SLOPE, -np.inf]),
        penalty=_one_event(design[:, :2] - design[:, :2].mean(axis=0), bins, size=3),
        centre=np.array([1.0, 1.0, 0.0]),
    )
    return BetaCalibrator(left=float(left), right=float(right), bias=float(bias))


def shift_to_observed(bins: Bins) -> float:
    """The log odds of the observed rate less those of the predicted one: a first guess at the bias."""
    predicted = float((bins.weight * sigmoid(bins.logit)).sum() / bins.total)
    observed = float((bins.label.sum() + 0.5 * bins.total / (bins.rows + 1)) / bins.total)
    return float(np.log(_odds(observed)) - np.log(_odds(predicted)))


def information(column: Array, bins: Bins) -> float:
    """Curvature of the log loss along a column of a design, at the model's own probabilities."""
    probability = sigmoid(bins.logit + shift_to_observed(bins))
    fraction = bins.weight / bins.total
    return float((fraction * probability * (1.0 - probability) * column**2).sum())


def _one_event(design: Array, bins: Bins, size: int | None = None) -> Array:
    """A penalty on the first columns worth what one positive tells of them; the other columns are free."""
    penalty = np.zeros((size or design.shape[1],) * 2)
    for number, column in enumerate(design.T):
        penalty[number, number] = information(column, bins) / max(bins.positives, 1) + 1e-9
    return penalty


def _odds(rate: float) -> float:
    rate = min(max(rate, 1e-12), 1 - 1e-12)
    return rate / (1 - rate)
