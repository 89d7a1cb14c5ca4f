"""The report's part on drift and skew: what validate found of the log's columns, the furthest moved first."""

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
)  # what is not of a column, so that no line of a table has it


def drift_sections(verdict: ValidationResultFile) -> Iterator[Section]:
    """Drift from the champion's data, and skew from what was served if that is known."""
    levels = [_sentence(rule) for rule in verdict.rules if rule.rule in _LEVELS and not rule.success]
    yield _section("Drift", f"Drift from the data of {verdict.drift.against}", verdict.drift, levels)
    if verdict.skew is not None:
        yield _section("Skew", f"Skew between the log and {verdict.skew.against}", verdict.skew, [])


def _section(word: str, title: str, found: DriftSummary, levels: list[str]) -> Section:
    if found.state == "no_baseline":
        reason = f"{found.reason[:1].upper()}{found.reason[1:]}."
        return Section(f"{word}: {DRIFT_IN_WORDS[found.state]}", [reason, *levels])
    rows = [_row(moved) for moved in found.columns[:_MAX_COLUMNS]]
    table = Table(("column", "verdict", *_FIGURES.values(), "nearest bound", "where"), rows)
    return Section(f"{title}: {DRIFT_IN_WORDS[found.state]}", [_summary(found), *levels], table)


def _summary(found: DriftSummary) -> str:
    named = ", ".join(found.new[:_MAX_NAMED])
    more = f", and {len(found.new) - _MAX_NAMED:,} more" if len(found.new) > _MAX_NAMED else ""
    fresh = f" New, so not compared: {named}{more}." if found.new else ""
    shown = min(len(found.columns), _MAX_COLUMNS)
    rest = f"; the {shown} that moved furthest are shown" if shown < found.compared else ""
    return f"Columns beyond a bound: {found.beyond:,} of {found.compared:,}{rest}.{fresh}"


def _row(moved: ColumnDrift) -> list[str]:
    name, share = _nearest(moved)
    bound = f"{_FIGURES[name]}≤{figure(moved.allowed.get(name), '.3f')}" if name else "–"
    return [
        moved.column,
        "beyond" if share > 1.0 else "within",
        *(figure(moved.found.get(name), ".3f") for name in _FIGURES),
        bound,
        moved.where.removeprefix("date=").removeprefix("the "),
    ]


def _nearest(moved: ColumnDrift) -> tuple[str, float]:
    """The figure that is the greatest multiple of its bound, and that multiple."""
    shares = {name: _share(moved, name) for name in _FIGURES if name in moved.found}
    return max(shares.items(), key=lambda item: item[1], default=("", 0.0))


def _share(moved: ColumnDrift, name: str) -> float:
    """A figure or bound that was not finite is null: the figure is beyond every bound, the bound is beyond none."""
    value, bound = moved.found[name], moved.allowed.get(name)
    if value is None:
        return math.inf
    if bound is None or not value:
        return 0.0
    return value / bound if bound else math.inf


def _sentence(rule: RuleResult) -> str:
    said = rule.line.removeprefix(f"{rule.rule}: ")
    return f"{said[:1].upper()}{said[1:]}."
