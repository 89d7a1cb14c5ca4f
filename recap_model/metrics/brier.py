"""Brier score and its decomposition into calibration, resolution and uncertainty."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from recap_model.metrics.calibration import equal_mass_bins, sums_by_bin
from recap_model.metrics.groups import PredictionGroups, dot, grouped


class BrierDecomposition(NamedTuple):
    """``reliability - resolution + uncertainty + within`` is the Brier score.

    ``reliability`` is the squared gap between predicted and observed by bin, ``resolution`` the variance of the
    bins' observed rates, ``uncertainty`` the variance of the labels, and ``within`` what is left inside the bins.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_score(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Weighted mean squared difference (Brier, 1950).

    >>> brier_score([1, 0], [0.5, 0.0])
    0.125
    """
    groups = grouped(labels, predictions, weights)
    if not groups.total:
        return float("nan")
    squares = dot(groups.weights, groups.predictions**2) - 2.0 * dot(groups.positives, groups.predictions)
    return (squares + groups.positive) / groups.total


def brier_decomposition(
    labels: ArrayLike | PredictionGroups,
    predictions: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    bins: int = 15,
) -> BrierDecomposition:
    """Murphy's decomposition (1973, eq. 6) over bins of equal weight.

    Bins that hold different predictions leave a remainder (Stephenson, Coelho and Jolliffe, 2008, eq. 8), here
    ``within``; it is 0 where each bin holds one prediction.
    """
    groups = grouped(labels, predictions, weights)
    if not groups.total:
        return BrierDecomposition(*(float("nan"),) * 4)
    mass, predicted, observed = sums_by_bin(
        equal_mass_bins(groups, bins), groups.weights, groups.weights * groups.predictions, groups.positives
    )
    predicted, observed = predicted / mass, observed / mass
    reliability = float(np.average((predicted - observed) ** 2, weights=mass))
    resolution = float(np.average((observed - groups.rate) ** 2, weights=mass))
    uncertainty = groups.rate * (1.0 - groups.rate)
    within = brier_score(groups) - (reliability - resolution + uncertainty)
    return BrierDecomposition(reliability, resolution, uncertainty, within)
