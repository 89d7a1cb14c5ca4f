"""How far a task's probabilities are from what happened, read off its bins."""

from dataclasses import dataclass

import numpy as np

from recap_model.calibration.histogram import Array, Bins
from recap_model.calibration.logistic import log_loss, sigmoid


@dataclass(frozen=True)
class Reliability:
    """Predicted against observed rates in groups of equal weight, and figures over all rows.

    Shape:
        predicted, observed: (groups,) weighted mean probability and share of positives; rising in predicted.
        share: (groups,) of the weight.
    ``ece`` is the mean over groups of |predicted - observed|, each counted by its weight; with few positives
    it is over 0 even where every probability is right.
    """

    predicted: Array
    observed: Array
    share: Array
    log_loss: float
    ece: float
    mean_predicted: float
    mean_observed: float


def reliability(bins: Bins, logit: Array, groups: int = 15) -> Reliability:
    """Measure the bins' rows when each bin is given its calibrated ``logit`` (bins,)."""
    probability = sigmoid(logit)
    before = np.cumsum(bins.weight) - bins.weight / 2
    group = np.minimum((before / bins.total * groups).astype(int), groups - 1)
    mass, predicted, observed = (
        np.bincount(group, values, minlength=groups)
        for values in (bins.weight, bins.weight * probability, bins.label)
    )
    held = mass > 0
    mass, predicted, observed = mass[held], predicted[held], observed[held]
    return Reliability(
        predicted=predicted / mass,
        observed=observed / mass,
        share=mass / bins.total,
        log_loss=log_loss(bins, logit),
        ece=float(np.abs(predicted - observed).sum() / bins.total),
        mean_predicted=float(predicted.sum() / bins.total),
        mean_observed=float(observed.sum() / bins.total),
    )
