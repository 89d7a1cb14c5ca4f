"""Reliability of a task's probabilities: predicted against observed, by bins."""

from dataclasses import dataclass

import numpy as np

from recap_model import metrics
from recap_model.metrics.groups import Array
from recap_model.metrics.histogram import Bins


@dataclass(frozen=True)
class Reliability:
    """Predicted against observed rates in groups of rows, and figures over all rows.

    Shape:
        predicted, observed: (groups,) weighted mean probability and share of positives; rising in predicted.
            The groups have about as much predicted variance each, so that the observed rate of one is about as
            sure as another's; of equal weight, most groups of a rare task would hold no positive.
        share: (groups,) of the weight.
    ``ece`` is debiased, as evaluate's: `recap_model.metrics.expected_calibration_error`.
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
    groups = bins.groups(logit)
    variance = groups.weights * groups.predictions * (1.0 - groups.predictions)
    count = int(np.clip(min(bins.positives, bins.rows - bins.positives) // 10, 4, 15))
    before = np.cumsum(variance) - variance / 2
    number = np.minimum((before / variance.sum() * count).astype(int), count - 1)
    mass, predicted, observed = (
        np.bincount(number, values, minlength=count)
        for values in (groups.weights, groups.weights * groups.predictions, groups.positives)
    )
    held = mass > 0
    mass, predicted, observed = mass[held], predicted[held], observed[held]
    return Reliability(
        predicted=predicted / mass,
        observed=observed / mass,
        share=mass / groups.total,
        log_loss=metrics.log_loss(groups),
        ece=metrics.expected_calibration_error(groups),
        mean_predicted=metrics.mean_prediction(groups),
        mean_observed=groups.rate,
    )
