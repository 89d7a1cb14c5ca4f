"""Monotone piecewise-linear calibration, regularised towards Platt's straight line."""

import numpy as np

from recap_model.calibration.logistic import fit_logistic
from recap_model.calibration.modules import MIN_SLOPE, PiecewiseLinearCalibrator
from recap_model.calibration.parametric import fit_platt, information
from recap_model.metrics.groups import Array
from recap_model.metrics.histogram import Bins

STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6)
"""Strengths of the pull to a straight line that cross-validation tries, from the stiffest."""


def fit_piecewise(bins: Bins, strength: float, knots: int = 32) -> PiecewiseLinearCalibrator:
    """Slopes between knots that minimise log loss plus a ridge on the change of slope from one to the next.

    Half of the knots are at quantiles of the rows, half at quantiles of the positives. ``strength`` is the
    ridge in units of what the data tell of a common slope; as it grows the map becomes Platt's. Every slope
    is at least `MIN_SLOPE`.
    """
    at = place_knots(bins, knots)
    design = _ramps(bins.logit, at)
    platt = fit_platt(bins)
    scale, bias = platt.scale.item(), platt.bias.item()
    slopes = len(at) + 1
    change = np.diff(np.eye(slopes), axis=0)
    told = information(bins.logit - bins.mean_logit, bins)
    penalty = np.zeros((slopes + 1, slopes + 1))
    # The second term is a thousandth of one positive: it settles slopes where no row is.
    penalty[:-1, :-1] = told * (
        strength * change.T @ change + 1e-3 / max(bins.positives, 1) * np.eye(slopes) / slopes
    ) + 1e-12 * np.eye(slopes)
    straight = np.append(np.full(slopes, scale), scale * at[0] + bias)
    lower = np.append(np.full(slopes, MIN_SLOPE), -np.inf)
    fitted = fit_logistic(design, bins, straight, lower, penalty, centre=np.append(straight[:-1], 0.0))
    return PiecewiseLinearCalibrator(
        knots=at.tolist(), value=float(fitted[-1]), slopes=np.maximum(fitted[:-1], MIN_SLOPE).tolist()
    )


def place_knots(bins: Bins, knots: int) -> Array:
    """At most ``knots`` logits, at least a 64th apart: quantiles of the rows and of the positives."""
    half = max(knots // 2, 1)
    shares = (np.arange(half) + 0.5) / half
    quantiles = [
        np.interp(shares, (np.cumsum(mass) - mass / 2) / mass.sum(), bins.logit)
        for mass in (bins.weight, bins.label)
        if mass.sum() > 0
    ]
    kept: list[float] = []
    for knot in np.sort(np.concatenate(quantiles)):
        if not kept or knot - kept[-1] >= 1 / 64:
            kept.append(float(knot))
    return np.array(kept)


def _ramps(logit: Array, knots: Array) -> Array:
    """What each slope, then the value at the first knot, is multiplied by: (bins, knots + 2)."""
    offset = logit[:, None] - knots
    before = np.minimum(offset[:, :1], 0.0)
    inside = np.clip(offset[:, :-1], 0.0, np.diff(knots))
    after = np.maximum(offset[:, -1:], 0.0)
    return np.concatenate([before, inside, after, np.ones((len(logit), 1))], axis=1)
