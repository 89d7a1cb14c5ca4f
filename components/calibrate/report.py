"""What calibration did to each task, measured on the calibration set."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recap_model.calibration import (
    LogitHistogram,
    Reliability,
    TaskCalibration,
    calibrated_logit,
    reliability,
)
from recap_model.calibration.values import ValueCalibration, ValueHistogram, calibrated_values


@dataclass(frozen=True)
class TaskReport:
    """A task's calibrator and its rows, measured before (sampling undone) and after it; None without a label."""

    calibration: TaskCalibration
    rows: int
    positives: int
    clipped: int
    before: Reliability | None
    after: Reliability | None


def measure(histogram: LogitHistogram, calibrations: Sequence[TaskCalibration]) -> list[TaskReport]:
    """Each task's reliability on the calibration set, before and after."""
    reports = []
    for calibration in calibrations:
        bins = histogram.bins(calibration.task)
        reports.append(
            TaskReport(
                calibration=calibration,
                rows=bins.rows,
                positives=bins.positives,
                clipped=int(histogram.clipped[histogram.tasks.index(calibration.task)]),
                before=reliability(bins, bins.logit) if bins.total else None,
                after=reliability(bins, calibrated_logit(calibration.calibrator, bins.logit))
                if bins.total
                else None,
            )
        )
    return reports


@dataclass(frozen=True)
class ValueReport:
    """A value task's calibrator, and its rows' mean label, mean prediction and squared error before and after it."""

    calibration: ValueCalibration
    rows: int
    observed: float
    predicted: tuple[float, float]
    squared_error: tuple[float, float]


def measure_values(histogram: ValueHistogram, calibrations: Sequence[ValueCalibration]) -> list[ValueReport]:
    """Each value task's means and errors on the calibration set, before and after."""
    reports = []
    for one in calibrations:
        bins = histogram.bins(one.task)
        total = float(bins.weight.sum())
        maps = [bins.prediction, calibrated_values(one.calibrator, bins.prediction)]
        before, after = (float((bins.weight * values).sum()) / total for values in maps)
        errors = bins.squared_error(maps[0]), bins.squared_error(maps[1])
        observed = float(bins.label.sum()) / total
        reports.append(ValueReport(one, bins.rows, observed, (before, after), errors))
    return reports


def as_json(reports: Sequence[TaskReport], values: Sequence[ValueReport] = ()) -> str:
    """All figures, by task."""
    figures = {report.calibration.task: _figures(report) for report in reports}
    return json.dumps(figures | {one.calibration.task: _value_figures(one) for one in values}, indent=1)


def _value_figures(report: ValueReport) -> dict[str, Any]:
    calibration = report.calibration
    measured = [
        {
            "squared_error": error,
            "predicted": predicted,
            "observed": report.observed,
            "predicted_over_observed": predicted / report.observed if report.observed else None,
        }
        for predicted, error in zip(report.predicted, report.squared_error, strict=True)
    ]
    return {
        "method": calibration.method,
        "reason": calibration.reason,
        "calibrator": None if calibration.calibrator is None else calibration.calibrator.spec(),
        "cross_validated_poisson_loss": calibration.cross_validated,
        "rows": report.rows,
        "before": measured[0],
        "after": measured[1],
    }


def _figures(report: TaskReport) -> dict[str, Any]:
    calibration = report.calibration
    return {
        "method": calibration.method,
        "reason": calibration.reason,
        "calibrator": None if calibration.calibrator is None else calibration.calibrator.spec(),
        "cross_validated_log_loss": calibration.cross_validated,
        "rows": report.rows,
        "positives": report.positives,
        "clipped_rows": report.clipped,
        "before": _measured(report.before),
        "after": _measured(report.after),
    }


def _measured(measured: Reliability | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    return {
        "log_loss": measured.log_loss,
        "ece": measured.ece,
        "slope": _finite(measured.slope),
        "intercept": _finite(measured.intercept),
        "predicted": measured.mean_predicted,
        "observed": measured.mean_observed,
        "predicted_over_observed": ratio(measured),
        "groups": {
            "share": measured.share.tolist(),
            "predicted": measured.predicted.tolist(),
            "observed": measured.observed.tolist(),
        },
    }


def ratio(measured: Reliability) -> float | None:
    """Predicted over observed mean; None if none is observed."""
    return measured.mean_predicted / measured.mean_observed if measured.mean_observed else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
