"""The page's part on drift and skew: each column beside the reference, the furthest first, with its histograms."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from components.common.artifacts.validation_result import DRIFT_IN_WORDS
from components.common.html.charts import LineChart, histogram_chart
from components.common.html.tables import Table, figure
from components.validate.drift.column import Change
from components.validate.drift.compare import WINDOW, Drift, Level
from components.validate.drift.metrics import METRICS
from components.validate.drift.reference import Reference
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.statistics import Counts, Floats
from components.validate.result import Kind, ValidationResult

_MAX_COLUMNS, _MAX_PICTURES = 100, 24
_BARS = 24
_LEAST_SHARE = 0.001  # of the rows: bins with fewer are drawn with their neighbours
_TITLES: dict[Kind, str] = {"drift": "Drift from {}", "skew": "Skew between the log and {}"}


@dataclass(frozen=True)
class DriftSection:
    """A comparison with a reference; one that was not made has a summary with the reason, and no columns."""

    title: str
    summary: str
    histograms: list[LineChart] = field(default_factory=list)
    columns: Table | None = None
    more_columns: int = 0
    levels: list[Table] = field(default_factory=list)


def drift_meanings() -> dict[str, str]:
    """The meaning of each metric of the tables."""
    return {metric.title: metric.meaning for metric in METRICS}


def drift_sections(
    verdict: ValidationResult, profile: Profile, references: dict[Kind, Reference]
) -> Iterator[DriftSection]:
    """Drift, and skew if what was served is known."""
    for kind, drift in verdict.drifts.items():
        title = f"{_TITLES[kind].format(drift.against)}: {DRIFT_IN_WORDS[verdict.drift_state(kind)]}"
        if drift.found is None:
            yield DriftSection(title, f"{drift.reason[:1].upper()}{drift.reason[1:]}.")
            continue
        reference = references[kind].profile
        assert reference is not None
        yield DriftSection(
            title,
            _summary(drift),
            list(_histograms(drift, profile, reference)),
            _columns(drift),
            len(drift.worst()) - _MAX_COLUMNS,
            [*_levels("task", drift.found.rates, ".4g"), *_levels("day", drift.found.rows, ",.0f")],
        )


def _summary(drift: Drift) -> str:
    assert drift.found is not None
    changes = drift.worst()
    moved = sum(change.furthest > 1.0 for change in changes)
    new = drift.found.new
    more = f", and {len(new) - 5} more" if len(new) > 5 else ""
    fresh = f" It does not have: {', '.join(new[:5])}{more}." if new else ""
    return f"{moved:,} of {len(changes):,} columns are beyond a bound.{fresh} Each is shown where it is furthest."


def _columns(drift: Drift) -> Table:
    head = ["column", "where", "of the bound", *(metric.title for metric in METRICS), "missing", "was"]
    rows: list[list[object]] = []
    for change in drift.worst()[:_MAX_COLUMNS]:
        figures = [figure(change.found.get(metric.name), metric.unit) for metric in METRICS]
        before, now = change.missing
        excess = f"{min(change.furthest, 9999):.2f}"
        rows.append([change.column, change.where, excess, *figures, f"{now:.1%}", f"{before:.1%}"])
    return Table(head, rows)


def _levels(subject: str, levels: list[Level], style: str) -> list[Table]:
    """Those outside of their bounds, and the window's."""
    rows = [
        [level.subject, level.where or "–", *(format(value, style) for value in _values(level))]
        for level in levels
        if level.where == WINDOW or not level.lowest <= level.value <= level.highest
    ]
    return [Table([subject, "where", "now", "was", "at least", "at most"], rows)] if rows else []


def _values(level: Level) -> tuple[float, float, float, float]:
    return level.value, level.usual, max(level.lowest, 0.0), level.highest


def _histograms(drift: Drift, profile: Profile, reference: Profile) -> Iterator[LineChart]:
    parts = {WINDOW: profile.window()}
    then = reference.window()
    for change in drift.worst()[:_MAX_PICTURES]:
        if change.where not in parts:
            named = [part for name, part in profile.partitions.items() if name.startswith(change.where)]
            parts[change.where] = sum(named, PartitionProfile())
        histograms = [_histogram(one, change) for one in (then, parts[change.where])]
        if all(counts.sum() for _, counts in histograms):
            yield _chart(change, histograms, drift.against)


def _histogram(part: PartitionProfile, change: Change) -> tuple[Counts, Counts]:
    for block in part.blocks.values():
        if change.column in block.labels and len(block.sketch.cells):
            bins, counts = block.sketch.of(block.labels.index(change.column))
            return bins, counts
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)


def _chart(change: Change, histograms: list[tuple[Counts, Counts]], against: str) -> LineChart:
    """Two histograms over the same bars, which stand for as many of the bins that have rows in them."""
    every = np.concatenate([bins[counts >= _LEAST_SHARE * counts.sum()] for bins, counts in histograms])
    seen = np.unique(every)
    edges = np.linspace(0, len(seen), min(_BARS, len(seen)) + 1)
    then, now = (_shares(np.searchsorted(seen, bins), counts, edges) for bins, counts in histograms)
    return histogram_chart(f"{change.column}, {change.where}", [(against, None, then), ("now", 1, now)])


def _shares(places: Counts, counts: Counts, edges: Floats) -> list[float]:
    heights, _ = np.histogram(np.minimum(places, edges[-1]), bins=edges, weights=counts)
    shares: list[float] = (heights / heights.sum()).tolist()
    return shares
