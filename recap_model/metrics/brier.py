"""Brier's score, and its parts: what calibration costs and what resolution gains."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from recap_model.metrics.calibration import equal_mass_bins
from recap_model.metrics.rows import labelled_rows


class BrierParts(NamedTuple):
    """``reliability - resolution + uncertainty + within`` is the Brier score.

    ``reliability`` is the squared gap between predicted and observed by bin, ``resolution`` how far the bins' rates
    lie from the mean rate, ``uncertainty`` the variance of the labels, and ``within`` what is left inside the bins.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_score(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Weighted mean squared difference (Brier, 1950).

    >>> brier_score([1, 0], [0.5, 0.0])
    0.125
    """
    rows = labelled_rows(labels, predictions, weights)
    if not len(rows.labels):
        return float("nan")
    return float(np.average((rows.predictions - rows.labels) ** 2, weights=rows.weights))


def brier_parts(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None, bins: int = 15
) -> BrierParts:
    """Murphy's decomposition (1973, eq. 6) over bins of equal weight.

    Bins that hold different predictions leave a remainder (Stephenson, Coelho and Jolliffe, 2008, eq. 8), here
    ``within``; it is 0 where each bin holds one prediction.
    """
    rows = labelled_rows(labels, predictions, weights)
    if not len(rows.labels):
        return BrierParts(*(float("nan"),) * 4)
    number = equal_mass_bins(rows.predictions, rows.weights, bins)
    mass, predicted, observed = (
        np.bincount(number, values, minlength=bins).astype(np.float64)
        for values in (rows.weights, rows.weights * rows.predictions, rows.weights * rows.labels)
    )
    held = mass > 0
    mass, predicted, observed = mass[held], predicted[held] / mass[held], observed[held] / mass[held]
    rate = float(np.average(rows.labels, weights=rows.weights))
    reliability = float(np.average((predicted - observed) ** 2, weights=mass))
    resolution = float(np.average((observed - rate) ** 2, weights=mass))
    uncertainty = rate * (1.0 - rate)
    within = brier_score(*rows) - (reliability - resolution + uncertainty)
    return BrierParts(reliability, resolution, uncertainty, within)
