"""The page's sections on drift and skew: the columns ranked by their distance from the reference."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from components.common.artifacts.validation_result import DRIFT_IN_WORDS
from components.common.html.charts import Axis, Bar, Bound, Chart, bar_chart
from components.common.html.numbers import format_number, format_rate
from components.common.html.tables import Cell, Column, Table, figure
from components.validate.drift.column import Change
from components.validate.drift.compare import Level
from components.validate.drift.metrics import METRICS, METRICS_BY_NAME, MISSING
from components.validate.result import ComparisonKind, ValidationResult

_MAX_COLUMNS, _MAX_BARS = 100, 15
_MAX_EXCESS = 8.0  # times the bound: a longer bar is cut, so that the others are seen
_TITLES: dict[ComparisonKind, str] = {"drift": "Drift from {}", "skew": "Skew between the log and {}"}


@dataclass(frozen=True)
class DriftSection:
    """A comparison with a reference; one that was not made has a summary with the reason, and no columns."""

    title: str
    summary: str
    has_drifted: bool = False
    ranking: Chart | None = None
    columns: Table | None = None
    more_columns: int = 0
    levels: list[Table] = field(default_factory=list)


def drift_meanings() -> dict[str, str]:
    """The meaning of each metric of the tables."""
    return {metric.title: metric.meaning for metric in METRICS}


def drift_sections(result: ValidationResult) -> Iterator[DriftSection]:
    """Drift, and skew if what was served is known."""
    for kind, drift in result.drifts.items():
        title = f"{_TITLES[kind].format(drift.against)}: {DRIFT_IN_WORDS[result.drift_state(kind)]}"
        if drift.comparison is None:
            yield DriftSection(title, f"{drift.reason[:1].upper()}{drift.reason[1:]}.")
            continue
        changes = drift.worst()
        yield DriftSection(
            title,
            _summarize(changes, drift.comparison.new),
            result.drift_state(kind) == "drifted",
            _rank(changes[:_MAX_BARS], drift.against),
            _build_table(changes[:_MAX_COLUMNS]),
            len(changes) - _MAX_COLUMNS,
            [
                *_build_level_tables("task", drift.comparison.rates, is_rate=True),
                *_build_level_tables("value task", drift.comparison.means, is_rate=False),
                *_build_level_tables("day", drift.comparison.rows, is_rate=False),
            ],
        )


def _summarize(changes: list[Change], new: list[str]) -> str:
    beyond = sum(change.furthest > 1.0 for change in changes)
    more = f", and {len(new) - 5} more" if len(new) > 5 else ""
    new_columns = f" It does not have: {', '.join(new[:5])}{more}." if new else ""
    columns = f"{beyond:,} of {len(changes):,} columns are beyond a bound."
    furthest = (
        f" The furthest, {changes[0].column}, is at {changes[0].furthest:.2f} of its bound."
        if changes
        else ""
    )
    return f"{columns}{new_columns}{furthest if not beyond else ''} Each is shown where it is furthest."


def _rank(changes: list[Change], against: str) -> Chart | None:
    """The columns that are furthest, in units of what each may differ by."""
    bars = []
    for change in changes:
        is_missing = change.furthest > change.excess
        metric = MISSING if is_missing else METRICS_BY_NAME.get(change.worst, MISSING)
        value = change.values.get(metric.name)
        excess = min(change.furthest, _MAX_EXCESS)
        cut = f"{change.furthest:,.0f} times its bound; " if change.furthest > _MAX_EXCESS else ""
        note = f"{cut}{metric.title} {figure(value, metric.unit)}, {change.where}"
        bars.append(Bar(change.column, excess, tone="bad" if change.furthest > 1.0 else "plain", note=note))
    if not bars:
        return None
    is_cut = any(bar.value == _MAX_EXCESS for bar in bars)
    label = f"distance as a multiple of its bound{f', cut at {_MAX_EXCESS:g}' if is_cut else ''}"
    bounds = [Bound("the bound", 1.0, "bad")]
    return bar_chart(f"Columns furthest from {against}", bars, Axis(label, low=0.0), bounds=bounds)


def _build_table(changes: list[Change]) -> Table:
    head: list[str | Column] = [
        "column",
        "where",
        Column("of the bound", help="the greatest distance as a multiple of what is allowed; over 1 fails"),
        *(Column(metric.title, help=metric.meaning) for metric in METRICS),
        "missing",
        Column("was", help="missing in the reference"),
    ]
    rows: list[list[object]] = []
    for change in changes:
        values = [figure(change.values.get(metric.name), metric.unit) for metric in METRICS]
        before, now = change.missing
        excess = min(change.furthest, 9999)
        cell = Cell(f"{excess:.2f}", excess, "bad" if excess > 1.0 else "")
        rows.append([change.column, change.where, cell, *values, format_rate(now), format_rate(before)])
    return Table(head, rows)


def _build_level_tables(subject: str, levels: list[Level], is_rate: bool) -> list[Table]:
    """Those outside of their bounds."""
    style = format_rate if is_rate else format_number
    rows: list[list[object]] = [
        [level.subject, level.where or "–", *(style(value) for value in _level_values(level))]
        for level in levels
        if not level.lowest <= level.value <= level.highest
    ]
    return [Table([subject, "where", "now", "was", "at least", "at most"], rows)] if rows else []


def _level_values(level: Level) -> tuple[float, float, float, float]:
    return level.value, level.usual, max(level.lowest, 0.0), level.highest
