"""What calibration did to each task: figures for machines, reliability diagrams for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.common.html.charts import Chart, Series, reliability_chart
from components.common.html.glossary import meanings
from components.common.html.render import render
from components.common.html.tables import Table, figure
from components.common.html.task_labels import tasks_of, within_family
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
        "cross_validated_squared_error": calibration.cross_validated,
        "rows": report.rows,
        "before": measured[0],
        "after": measured[1],
    }


def reliability_page(
    reports: Sequence[TaskReport],
    populations: Mapping[str, str] | None = None,
    values: Sequence[ValueReport] = (),
) -> str:
    """A table of all tasks, and for each a diagram of observed against predicted rates.

    Args:
        populations: see `within_family`.
    """
    lead = (
        f"{max([*(one.rows for one in reports), *(one.rows for one in values)]):,} rows held out from training. "
        "On the diagonal, what was predicted is what happened. Both axes are in log odds; the points stand "
        "for groups of rows whose observed rates are about as sure as each other's."
    )
    tasks = [report.calibration.task for report in reports]
    columns = ("task", "method", "positives", "predicted / observed", "log loss", "debiased ECE", "why")
    rows = [
        (
            within_family(report.calibration.task, tasks, populations),
            report.calibration.method,
            f"{report.positives:,}",
            *_compared(report.before, report.after),
            report.calibration.reason,
        )
        for report in reports
    ]
    diagrams = [
        _diagram(report.before, report.after, within_family(report.calibration.task, tasks, populations))
        for report in reports
        if report.before is not None and report.after is not None
    ]
    return render(
        "components.calibrate/reliability.html",
        lead=lead,
        tasks=tasks_of(tasks),
        calibrators=Table(columns, rows),
        values=_value_table(values, populations),
        meanings=meanings("log loss", "debiased ECE"),
        diagrams=diagrams,
    )


def _value_table(values: Sequence[ValueReport], populations: Mapping[str, str] | None) -> Table | None:
    if not values:
        return None
    tasks = [one.calibration.task for one in values]
    rows = [
        (
            within_family(one.calibration.task, tasks, populations),
            one.calibration.method,
            f"{one.rows:,}",
            f"{one.observed:.4g}",
            _changed(*(figure(mean / one.observed, ".3f") for mean in one.predicted)),
            _changed(*(f"{error:.5g}" for error in one.squared_error)),
            one.calibration.reason,
        )
        for one in values
    ]
    columns = ("task", "method", "rows", "mean", "predicted / observed", "squared error", "why")
    return Table(columns, rows)


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
        "predicted": measured.mean_predicted,
        "observed": measured.mean_observed,
        "predicted_over_observed": _ratio(measured),
        "groups": {
            "share": measured.share.tolist(),
            "predicted": measured.predicted.tolist(),
            "observed": measured.observed.tolist(),
        },
    }


def _ratio(measured: Reliability) -> float | None:
    return measured.mean_predicted / measured.mean_observed if measured.mean_observed else None


def _compared(before: Reliability | None, after: Reliability | None) -> tuple[str, str, str]:
    if before is None or after is None:
        return "–", "–", "–"
    return (
        _changed(figure(_ratio(before), ".3f"), figure(_ratio(after), ".3f")),
        _changed(f"{before.log_loss:.6f}", f"{after.log_loss:.6f}"),
        _changed(f"{before.ece:.2e}", f"{after.ece:.2e}"),
    )


def _changed(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _diagram(before: Reliability, after: Reliability, title: str) -> Chart:
    series = [
        Series("before", before.predicted.tolist(), before.observed.tolist(), colour=1),
        Series("after", after.predicted.tolist(), after.observed.tolist(), colour=0),
    ]
    return reliability_chart(title, series)
