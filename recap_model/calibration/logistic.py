"""Weighted logistic regression on bins, with bounds and a quadratic penalty."""

import numpy as np

from recap_model.metrics.groups import Array
from recap_model.metrics.histogram import Bins, sigmoid

_STEPS = 100


def softplus(logit: Array) -> Array:
    """``ln(1 + exp(logit))`` without overflow."""
    return np.logaddexp(0.0, logit)


def log_loss(bins: Bins, logit: Array) -> float:
    """Weighted mean log loss in nats, when the rows of each bin are given its calibrated ``logit``."""
    return float((bins.weight * softplus(logit) - bins.label * logit).sum() / bins.total)


def fit_logistic(
    design: Array, bins: Bins, start: Array, lower: Array, penalty: Array, centre: Array | None = None
) -> Array:
    """Coefficients that minimise ``log loss + (c - centre)' penalty (c - centre) / 2`` with c >= lower.

    Projected Newton steps with a line search (Bertsekas, SIAM J. Control Optim. 20(2), 1982): convex, so what
    they find is the minimum.

    Shape:
        design: (bins, coefficients); penalty: (coefficients, coefficients); the others (coefficients,).
    """
    fraction, label = bins.weight / bins.total, bins.label / bins.total
    centre = np.zeros_like(start) if centre is None else centre

    def objective(coefficients: Array) -> float:
        logit, away = design @ coefficients, coefficients - centre
        return float((fraction * softplus(logit) - label * logit).sum() + 0.5 * away @ penalty @ away)

    current = np.maximum(start, lower)
    value = objective(current)
    for _ in range(_STEPS):
        probability = sigmoid(design @ current)
        gradient = design.T @ (fraction * probability - label) + penalty @ (current - centre)
        curvature = design.T @ (design * (fraction * probability * (1.0 - probability))[:, None]) + penalty
        free = (current > lower) | (gradient < 0)
        step = np.zeros_like(current)
        ridge = 1e-12 * (1.0 + np.trace(curvature)) * np.eye(int(free.sum()))
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)] + ridge, gradient[free])
        length, moved, better = 1.0, current, value
        while length > 1e-10:
            moved = np.maximum(current - length * step, lower)
            better = objective(moved)
            if better <= value + 1e-4 * float(gradient @ (moved - current)):
                break
            length /= 2
        if value - better <= 1e-13 * (1.0 + abs(value)):
            return moved if better <= value else current
        current, value = moved, better
    return current
