"""Whether probabilities are as large as rates: predicted over observed, and by bins of equal weight."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from recap_model.metrics.rows import Array, labelled_rows


class ReliabilityBins(NamedTuple):
    """Bins of equal weight by rising prediction: (bins,) each.

    ``error`` is the standard error of ``observed`` if every prediction were right.
    """

    predicted: Array
    observed: Array
    weight: Array
    error: Array


def calibration_ratio(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Predicted over observed: the weighted sum of predictions over that of labels.

    >>> calibration_ratio([1, 0, 0, 0], [0.5, 0.25, 0.25, 0.0])
    1.0
    """
    rows = labelled_rows(labels, predictions, weights)
    observed = float(rows.weights @ rows.labels)
    return float(rows.weights @ rows.predictions) / observed if observed else float("nan")


def reliability_bins(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None, bins: int = 15
) -> ReliabilityBins:
    """Mean prediction and mean label in ``bins`` bins that hold the same weight of rows."""
    rows = labelled_rows(labels, predictions, weights)
    order = np.argsort(rows.predictions, kind="stable")
    label, prediction, weight = rows.labels[order], rows.predictions[order], rows.weights[order]
    middle = np.cumsum(weight) - weight / 2
    number = np.minimum((middle / max(weight.sum(), 1e-300) * bins).astype(int), bins - 1)
    mass, predicted, observed, variance = (
        np.bincount(number, values, minlength=bins).astype(np.float64)
        for values in (
            weight,
            weight * prediction,
            weight * label,
            weight**2 * prediction * (1.0 - prediction),
        )
    )
    held = mass > 0
    mass, predicted, observed, variance = mass[held], predicted[held], observed[held], variance[held]
    return ReliabilityBins(predicted / mass, observed / mass, mass, np.sqrt(variance) / mass)


def expected_calibration_error(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None, bins: int = 15
) -> float:
    """Debiased ECE over bins of equal weight: the root of the weighted mean squared gap less what chance makes.

    The squared form of Kumar et al., "Verified Uncertainty Calibration", NeurIPS 2019, section 4: a plain ECE is
    over 0 even for a perfectly calibrated model. A mean below 0, which chance can give, keeps its sign.
    """
    found = reliability_bins(labels, predictions, weights, bins)
    if not len(found.weight):
        return float("nan")
    squared = float(
        np.average((found.predicted - found.observed) ** 2 - found.error**2, weights=found.weight)
    )
    return float(np.copysign(np.sqrt(abs(squared)), squared))
