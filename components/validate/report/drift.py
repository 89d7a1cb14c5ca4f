"""The page's sections on drift and skew: each column compared with the reference, the furthest first."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from components.common.artifacts.validation_result import DRIFT_IN_WORDS
from components.common.html.charts import Axis, Chart, Histogram, histogram_chart
from components.common.html.tables import Table, figure
from components.validate.drift.column import Change
from components.validate.drift.compare import WINDOW, Drift, Level
from components.validate.drift.metrics import METRICS
from components.validate.drift.reference import Reference
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.statistics import Counts, Floats
from components.validate.result import ComparisonKind, ValidationResult

_MAX_COLUMNS, _MAX_CHARTS = 100, 24
_BARS = 24
_MIN_FRACTION = 0.001  # of the rows: bins with fewer are drawn with their neighbours
_TITLES: dict[ComparisonKind, str] = {"drift": "Drift from {}", "skew": "Skew between the log and {}"}


@dataclass(frozen=True)
class DriftSection:
    """A comparison with a reference; one that was not made has a summary with the reason, and no columns."""

    title: str
    summary: str
    histograms: list[Chart] = field(default_factory=list)
    columns: Table | None = None
    more_columns: int = 0
    levels: list[Table] = field(default_factory=list)


def drift_meanings() -> dict[str, str]:
    """The meaning of each metric of the tables."""
    return {metric.title: metric.meaning for metric in METRICS}


def drift_sections(
    verdict: ValidationResult, profile: Profile, references: dict[ComparisonKind, Reference]
) -> Iterator[DriftSection]:
    """Drift, and skew if what was served is known."""
    for kind, drift in verdict.drifts.items():
        title = f"{_TITLES[kind].format(drift.against)}: {DRIFT_IN_WORDS[verdict.drift_state(kind)]}"
        if drift.comparison is None:
            yield DriftSection(title, f"{drift.reason[:1].upper()}{drift.reason[1:]}.")
            continue
        reference = references[kind].profile
        assert reference is not None
        yield DriftSection(
            title,
            _summarize(drift),
            list(_chart_columns(drift, profile, reference)),
            _build_table(drift),
            len(drift.worst()) - _MAX_COLUMNS,
            [
                *_build_level_tables("task", drift.comparison.rates, ".4g"),
                *_build_level_tables("day", drift.comparison.rows, ",.0f"),
            ],
        )


def _summarize(drift: Drift) -> str:
    assert drift.comparison is not None
    changes = drift.worst()
    beyond = sum(change.furthest > 1.0 for change in changes)
    new = drift.comparison.new
    more = f", and {len(new) - 5} more" if len(new) > 5 else ""
    new_columns = f" It does not have: {', '.join(new[:5])}{more}." if new else ""
    columns = f"{beyond:,} of {len(changes):,} columns are beyond a bound."
    return f"{columns}{new_columns} Each is shown where it is furthest."


def _build_table(drift: Drift) -> Table:
    head = ["column", "where", "of the bound", *(metric.title for metric in METRICS), "missing", "was"]
    rows: list[list[object]] = []
    for change in drift.worst()[:_MAX_COLUMNS]:
        values = [figure(change.found.get(metric.name), metric.unit) for metric in METRICS]
        before, now = change.missing
        excess = f"{min(change.furthest, 9999):.2f}"
        rows.append([change.column, change.where, excess, *values, f"{now:.1%}", f"{before:.1%}"])
    return Table(head, rows)


def _build_level_tables(subject: str, levels: list[Level], style: str) -> list[Table]:
    """Those outside of their bounds, and the window's."""
    rows = [
        [level.subject, level.where or "–", *(format(value, style) for value in _level_values(level))]
        for level in levels
        if level.where == WINDOW or not level.lowest <= level.value <= level.highest
    ]
    return [Table([subject, "where", "now", "was", "at least", "at most"], rows)] if rows else []


def _level_values(level: Level) -> tuple[float, float, float, float]:
    return level.value, level.usual, max(level.lowest, 0.0), level.highest


def _chart_columns(drift: Drift, profile: Profile, reference: Profile) -> Iterator[Chart]:
    profiles = {WINDOW: profile.window()}
    usual = reference.window()
    for change in drift.worst()[:_MAX_CHARTS]:
        if change.where not in profiles:
            partitions = [
                partition for name, partition in profile.partitions.items() if name.startswith(change.where)
            ]
            profiles[change.where] = sum(partitions, PartitionProfile())
        histograms = [_read_histogram(rows, change) for rows in (usual, profiles[change.where])]
        if all(counts.sum() for _, counts in histograms):
            yield _draw_chart(change, histograms, drift.against)


def _read_histogram(profile: PartitionProfile, change: Change) -> tuple[Counts, Counts]:
    for block in profile.blocks.values():
        if change.column in block.labels and len(block.histograms.cells):
            bins, counts = block.histograms.select(block.labels.index(change.column))
            return bins, counts
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)


def _draw_chart(change: Change, binned: list[tuple[Counts, Counts]], against: str) -> Chart:
    """Draw two histograms over the same bars, each of about as many of the bins with rows."""
    frequent = np.concatenate([bins[counts >= _MIN_FRACTION * counts.sum()] for bins, counts in binned])
    occupied = np.unique(frequent)
    edges = np.linspace(0, len(occupied), min(_BARS, len(occupied)) + 1)
    usual, current = (_bar_heights(np.searchsorted(occupied, bins), counts, edges) for bins, counts in binned)
    bars = [float(edge) for edge in range(len(edges))]
    histograms = [Histogram(against, bars, usual, is_reference=True), Histogram("now", bars, current)]
    return histogram_chart(
        f"{change.column}, {change.where}", histograms, Axis("bins of rising value", ticks=())
    )


def _bar_heights(positions: Counts, counts: Counts, edges: Floats) -> list[float]:
    heights, _ = np.histogram(np.minimum(positions, edges[-1]), bins=edges, weights=counts)
    fractions: list[float] = (heights / heights.sum()).tolist()
    return fractions
