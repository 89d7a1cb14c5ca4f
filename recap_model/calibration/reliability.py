"""How far a task's probabilities are from what happened, read off its bins."""

from dataclasses import dataclass

import numpy as np

from recap_model.calibration.histogram import Array, Bins
from recap_model.calibration.logistic import log_loss, sigmoid

_ECE_GROUPS = 15


@dataclass(frozen=True)
class Reliability:
    """Predicted against observed rates in groups of rows, and figures over all rows.

    Shape:
        predicted, observed: (groups,) weighted mean probability and share of positives; rising in predicted.
            The groups have about as much predicted variance each, so that the observed rate of one is about as
            sure as another's; of equal weight, most groups of a rare task would hold no positive.
        share: (groups,) of the weight.
    ``ece`` is the weighted mean of |predicted - observed| over 15 groups of equal weight; with few positives it
    is over 0 even where every probability is right.
    """

    predicted: Array
    observed: Array
    share: Array
    log_loss: float
    ece: float
    mean_predicted: float
    mean_observed: float


def reliability(bins: Bins, logit: Array) -> Reliability:
    """Measure the bins' rows when each bin is given its calibrated ``logit`` (bins,)."""
    probability = sigmoid(logit)
    groups = int(np.clip(min(bins.positives, bins.rows - bins.positives) // 10, 4, 15))
    variance = bins.weight * probability * (1.0 - probability)
    mass, predicted, observed = _grouped(bins, probability, variance, groups)
    _, equal_predicted, equal_observed = _grouped(bins, probability, bins.weight, _ECE_GROUPS)
    return Reliability(
        predicted=predicted / mass,
        observed=observed / mass,
        share=mass / bins.total,
        log_loss=log_loss(bins, logit),
        ece=float(np.abs(equal_predicted - equal_observed).sum() / bins.total),
        mean_predicted=float(predicted.sum() / bins.total),
        mean_observed=float(observed.sum() / bins.total),
    )


def _grouped(bins: Bins, probability: Array, by: Array, groups: int) -> tuple[Array, Array, Array]:
    """Weight, weighted probabilities and weighted labels of groups of neighbouring bins, equal in ``by``."""
    before = np.cumsum(by) - by / 2
    group = np.minimum((before / by.sum() * groups).astype(int), groups - 1)
    sums = [
        np.bincount(group, values, minlength=groups).astype(np.float64)
        for values in (bins.weight, bins.weight * probability, bins.label)
    ]
    mass, predicted, observed = (values[sums[0] > 0] for values in sums)
    return mass, predicted, observed
