"""The report's section on drift and skew: validate's figures for the log's columns, the greatest drift first."""

import math
from collections.abc import Iterator

from components.common.artifacts.validation_result import (
    DRIFT_IN_WORDS,
    ColumnDrift,
    DriftSummary,
    RuleResult,
    ValidationResultFile,
)
from components.common.html.tables import Section, Table, figure

_MAX_COLUMNS = 25
_MAX_NAMED = 5
_FIGURES = {
    "psi": "PSI",
    "js": "JS",
    "ks": "KS",
    "mean_shift": "mean",
    "vanished": "gone",
    "missing": "missing",
}
_LEVELS = (
    "task_rate_drift",
    "task_null_rate_drift",
    "partition_rows_drift",
)  # not of a column, so that no row of the table has them


def drift_sections(validation: ValidationResultFile) -> Iterator[Section]:
    """Drift from the champion's data, and skew from what was served if that is known."""
    levels = [_sentence(rule) for rule in validation.rules if rule.rule in _LEVELS and not rule.success]
    yield _section("Drift", f"Drift from the data of {validation.drift.against}", validation.drift, levels)
    if validation.skew is not None:
        yield _section("Skew", f"Skew between the log and {validation.skew.against}", validation.skew, [])


def _section(word: str, title: str, drift: DriftSummary, levels: list[str]) -> Section:
    if drift.state == "no_baseline":
        reason = f"{drift.reason[:1].upper()}{drift.reason[1:]}."
        return Section(f"{word}: {DRIFT_IN_WORDS[drift.state]}", [reason, *levels])
    rows = [_row(column) for column in drift.columns[:_MAX_COLUMNS]]
    table = Table(("column", "status", *_FIGURES.values(), "nearest bound", "where"), rows)
    return Section(f"{title}: {DRIFT_IN_WORDS[drift.state]}", [_summary(drift), *levels], table)


def _summary(drift: DriftSummary) -> str:
    named = ", ".join(drift.new[:_MAX_NAMED])
    more = f", and {len(drift.new) - _MAX_NAMED:,} more" if len(drift.new) > _MAX_NAMED else ""
    fresh = f" New, so not compared: {named}{more}." if drift.new else ""
    shown = min(len(drift.columns), _MAX_COLUMNS)
    rest = f"; the {shown} that drifted furthest are shown" if shown < drift.compared else ""
    return f"Columns beyond a bound: {drift.beyond:,} of {drift.compared:,}{rest}.{fresh}"


def _row(column: ColumnDrift) -> list[str]:
    name, ratio = _nearest(column)
    bound = f"{_FIGURES[name]}≤{figure(column.allowed.get(name), '.3f')}" if name else "–"
    return [
        column.column,
        "beyond" if ratio > 1.0 else "within",
        *(figure(column.found.get(name), ".3f") for name in _FIGURES),
        bound,
        column.where.removeprefix("date=").removeprefix("the "),
    ]


def _nearest(column: ColumnDrift) -> tuple[str, float]:
    """The figure that is the greatest multiple of its bound, and that multiple."""
    ratios = {name: _bound_ratio(column, name) for name in _FIGURES if name in column.found}
    return max(ratios.items(), key=lambda item: item[1], default=("", 0.0))


def _bound_ratio(column: ColumnDrift, name: str) -> float:
    """A figure over its bound. Null stands for infinite: it exceeds every bound, or as a bound nothing does."""
    value, bound = column.found[name], column.allowed.get(name)
    if value is None:
        return math.inf
    if bound is None or not value:
        return 0.0
    return value / bound if bound else math.inf


def _sentence(rule: RuleResult) -> str:
    sentence = rule.line.removeprefix(f"{rule.rule}: ")
    return f"{sentence[:1].upper()}{sentence[1:]}."
