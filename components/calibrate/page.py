"""The calibration page: each task before and after, in words, as diagrams and as a table."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from components.calibrate.report import TaskReport, ValueReport, ratio
from components.common.html.charts import Chart, Series, reliability_chart
from components.common.html.glossary import column, meanings
from components.common.html.numbers import format_number, rate_error
from components.common.html.render import render
from components.common.html.tables import Cell, Column, Table
from components.common.html.task_labels import tasks_of, within_family
from recap_model.calibration import Reliability

_TWO_SIDED_95 = 1.96
_MAX_DIAGRAMS = 24
_SMALL = 0.1  # difference of a slope from 1 that is not worth a word


def reliability_page(
    reports: Sequence[TaskReport],
    populations: Mapping[str, str] | None = None,
    values: Sequence[ValueReport] = (),
    facts: Mapping[str, str] | None = None,
) -> str:
    """What calibration did, a diagram of each task before and after, and the tables.

    Args:
        populations: see `within_family`.
        facts: of the run, for the header.
    """
    rows = max([*(one.rows for one in reports), *(one.rows for one in values)])
    tasks = [report.calibration.task for report in reports]
    measured = [report for report in reports if report.before and report.after and report.positives]
    return render(
        "components.calibrate/reliability.html",
        lead=_summarize(reports, values, rows),
        facts=facts,
        tasks=tasks_of(tasks),
        words=_describe_tasks(reports, populations),
        calibrators=_task_table(reports, populations),
        values=_value_table(values, populations),
        meanings=meanings("predicted / observed", "slope", "intercept", "log loss", "debiased ECE"),
        diagrams=[
            _diagram(report, within_family(report.calibration.task, tasks, populations))
            for report in measured[:_MAX_DIAGRAMS]
        ],
        left_out=max(len(measured) - _MAX_DIAGRAMS, 0),
    )


def _summarize(reports: Sequence[TaskReport], values: Sequence[ValueReport], rows: int) -> str:
    fitted = sum(one.calibration.calibrator is not None for one in reports)
    fitted += sum(one.calibration.calibrator is not None for one in values)
    every = len(reports) + len(values)
    kept = every - fitted
    rest = f", {kept} left as trained" if kept else ""
    return f"{fitted} of {every} tasks calibrated{rest}, on {rows:,} rows held out from training."


def _describe_tasks(reports: Sequence[TaskReport], populations: Mapping[str, str] | None) -> Table:
    """Each task before and after in words."""
    tasks = [report.calibration.task for report in reports]
    rows = [
        (
            within_family(report.calibration.task, tasks, populations),
            _describe(report.before, report),
            _describe(report.after, report) if report.calibration.calibrator else "as before",
            report.calibration.method,
            report.calibration.reason,
        )
        for report in reports
    ]
    columns = (
        Column("task"),
        Column("before", help="level and spread of the trained model's probabilities, sampling undone"),
        Column("after", help="the same with the calibrator"),
        Column("method"),
        Column("why", help="why this method"),
    )
    return Table(columns, rows)


def _describe(measured: Reliability | None, report: TaskReport) -> str:
    """Level (predicted over observed, with its chance error) and spread (slope) of the probabilities."""
    if measured is None:
        return "no label"
    level, calibration_ratio = "no positive", ratio(measured)
    if calibration_ratio is not None:
        error = 1.0 / math.sqrt(max(report.positives, 1))
        off = f"{format_number(100 * abs(calibration_ratio - 1), 100 * error)}%"
        level = (
            "level right"
            if abs(calibration_ratio - 1) < error
            else f"{off} too {'high' if calibration_ratio > 1 else 'low'}"
        )
    if math.isnan(measured.slope):
        return level
    error = _slope_error(measured, report.rows)
    slope = f"slope {format_number(measured.slope, error)}"
    if abs(measured.slope - 1) < _SMALL:
        return f"{level}, spread right"
    if abs(measured.slope - 1) < _TWO_SIDED_95 * error:
        return f"{level}, spread right but for chance ({slope})"
    return f"{level}, {'too extreme' if measured.slope < 1 else 'too narrow'} ({slope})"


def _slope_error(measured: Reliability, rows: int) -> float:
    """Standard error of the slope by the information of the groups' rows, if every prediction were right."""
    rate = measured.predicted.clip(1e-9, 1.0 - 1e-9)
    information = rows * measured.share * rate * (1.0 - rate)
    logit = np.log(rate / (1.0 - rate))
    centre = np.average(logit, weights=information)
    spread = float((information * (logit - centre) ** 2).sum())
    return 1.0 / math.sqrt(spread) if spread > 0.0 else math.inf


def _task_table(reports: Sequence[TaskReport], populations: Mapping[str, str] | None) -> Table:
    tasks = [report.calibration.task for report in reports]
    columns: list[Column] = [Column("task"), Column("positives", "rows", "of the calibration set")]
    figures = (
        ("predicted / observed", ""),
        ("slope", ""),
        ("intercept", "log odds"),
        ("log loss", "nats"),
        ("debiased ECE", ""),
    )
    for name, unit in figures:
        meaning = column(name, unit)
        columns += [
            Column(f"{name}, before", unit, meaning.help),
            Column("after", unit, f"{name}, after calibration"),
        ]
    rows = []
    for report in reports:
        row: list[object] = [
            within_family(report.calibration.task, tasks, populations),
            f"{report.positives:,}",
        ]
        if report.before is None or report.after is None:
            rows.append([*row, *(["–"] * 2 * len(figures))])
            continue
        before, after = report.before, report.after
        relative = 1.0 / math.sqrt(max(report.positives, 1))
        rate = rate_error(before.mean_observed, report.rows)
        # Of the log loss: a row's loss has about the deviation of the rate's.
        for first, second, error in (
            (ratio(before), ratio(after), relative),
            (before.slope, after.slope, relative),
            (before.intercept, after.intercept, relative),
            (before.log_loss, after.log_loss, rate),
            (before.ece, after.ece, None),
        ):
            row += [Cell(format_number(value, error), value) for value in (first, second)]
        rows.append(row)
    return Table(columns, rows)


def _value_table(values: Sequence[ValueReport], populations: Mapping[str, str] | None) -> Table | None:
    if not values:
        return None
    tasks = [one.calibration.task for one in values]
    rows = [
        (
            within_family(one.calibration.task, tasks, populations),
            one.calibration.method,
            f"{one.rows:,}",
            format_number(one.observed),
            *(format_number(mean / one.observed) if one.observed else "–" for mean in one.predicted),
            *(format_number(error) for error in one.squared_error),
            one.calibration.reason,
        )
        for one in values
    ]
    columns = (
        Column("task"),
        Column("method"),
        Column("rows"),
        Column("mean label"),
        column("predicted / observed"),
        Column("after", help="predicted / observed, after calibration"),
        Column("squared error"),
        Column("after", help="squared error, after calibration"),
        Column("why"),
    )
    return Table(columns, rows)


def _diagram(report: TaskReport, title: str) -> Chart:
    """Both in one frame; the band is where the rates after calibration would lie by chance."""
    assert report.before is not None
    assert report.after is not None
    drawn = [("before", report.before, 1), ("after", report.after, 0)]
    if report.calibration.calibrator is None:
        drawn = [("as trained", report.after, 0)]
    series = []
    for name, measured, colour in drawn:
        half = _TWO_SIDED_95 * measured.error
        has_band = measured is report.after
        series.append(
            Series(
                name,
                measured.predicted.tolist(),
                measured.observed.tolist(),
                low=(measured.observed - half).clip(0.0, 1.0).tolist() if has_band else None,
                high=(measured.observed + half).clip(0.0, 1.0).tolist() if has_band else None,
                weights=measured.share.tolist(),
                colour=colour,
            )
        )
    return reliability_chart(title, series)
