"""Reliability of a task's probabilities: predicted against observed, by bins."""

from dataclasses import dataclass

from recap_model import metrics
from recap_model.metrics.groups import Array
from recap_model.metrics.histogram import Bins


@dataclass(frozen=True)
class Reliability:
    """Predicted against observed rates in groups of rows, and figures over all rows.

    Shape:
        predicted, observed: (groups,) weighted mean probability and share of positives; rising in predicted.
            The groups are `recap_model.metrics.equal_variance_bins`.
        share: (groups,) of the weight.
        error: (groups,) standard error of ``observed`` if every prediction were right.
    ``slope`` and ``intercept`` are those of `recap_model.metrics.calibration_line`, NaN where there is no such line;
    ``ece`` is debiased, as evaluate's: `recap_model.metrics.expected_calibration_error`.
    """

    predicted: Array
    observed: Array
    share: Array
    error: Array
    slope: float
    intercept: float
    log_loss: float
    ece: float
    mean_predicted: float
    mean_observed: float


def reliability(bins: Bins, logit: Array) -> Reliability:
    """Measure the bins' rows when each bin is given its calibrated ``logit`` (bins,)."""
    groups = bins.groups(logit)
    found = metrics.equal_variance_bins(groups)
    line = metrics.calibration_line(groups)
    return Reliability(
        predicted=found.predicted,
        observed=found.observed,
        share=found.weight / groups.total,
        error=found.error,
        slope=line.slope,
        intercept=line.intercept,
        log_loss=metrics.log_loss(groups),
        ece=metrics.expected_calibration_error(groups),
        mean_predicted=metrics.mean_prediction(groups),
        mean_observed=groups.rate,
    )
