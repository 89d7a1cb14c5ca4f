"""Charts of single columns: a histogram of numbers, the most frequent values of ids and words."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from components.common.html.charts import Axis, Bar, Chart, Histogram, bar_chart, histogram_chart
from components.common.html.numbers import format_rate
from components.validate.profile.columns import Block
from components.validate.profile.profile import BlockProfile, Profile, ValueSummary
from components.validate.profile.sketches.exact_sum import from_units
from components.validate.profile.sketches.histogram import EXACT_IDS
from components.validate.profile.statistics import Stats, fraction
from components.validate.report.histograms import Bars, choose_bars
from recap_model.data.log.schema import Role

_MAX_VALUES = 10


@dataclass(frozen=True)
class Position:
    """One measured column in a profile: a position of a block."""

    block: BlockProfile
    number: int
    role: Role
    values: ValueSummary | None = None

    @property
    def are_ids(self) -> bool:
        """Whether the values have no order."""
        return self.role in ("id", "discrete", "sequence_id")

    @property
    def stats(self) -> Stats:
        return self.block.stats

    @property
    def rows(self) -> int:
        return int(self.stats.rows[self.number])

    @property
    def missing(self) -> int:
        return int(self.stats.missing[self.number])

    @cached_property
    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Bins and counts."""
        return self.block.histograms.select(self.number)

    @property
    def has_histogram(self) -> bool:
        return bool(len(self.histogram[0]))

    @property
    def extremes(self) -> tuple[float, float]:
        return float(self.stats.minimum[self.number]), float(self.stats.maximum[self.number])

    @property
    def occurrences(self) -> float:
        """Rows with a value; of a column of id lists, their entries."""
        units = self.stats.total[self.number]
        if self.role != "sparse" or units is None:
            return self.rows - self.missing
        return from_units(units)

    def count_value(self, value: str) -> int | None:
        """Rows that have one of the most frequent values, or a small id; None if that is not known."""
        known = dict(self.values.top) if self.values else {}
        if value in known:
            return known[value]
        if self.role == "discrete" and value.isdecimal() and int(value) < EXACT_IDS:
            bins, counts = self.histogram
            return int(counts[bins == int(value)].sum())
        return 0 if self.values and len(known) == self.values.distinct else None


class Columns:
    """The measured columns of a profile by label: of the window, or of some of its days."""

    def __init__(self, profile: Profile, blocks: list[Block], days: frozenset[str] = frozenset()) -> None:
        merged = [
            partition
            for name, partition in profile.partitions.items()
            if not days or name.partition("/")[0].removeprefix("date=") in days
        ]
        self.rows = sum(partition.rows for partition in merged)
        self._positions: dict[str, tuple[str, int]] = {}
        self._partitions = merged
        self._blocks = {block.key: block for block in blocks}
        self._values = profile.values if not days else {}
        self._merged: dict[str, BlockProfile | None] = {}
        for block in blocks:
            for number, label in enumerate(block.labels):
                self._positions.setdefault(label, (block.key, number))

    def find(self, name: str) -> tuple[str, Position] | None:
        """The label and position of a column; of a list's column its first position."""
        label = name if name in self._positions else f"{name}[0]"
        if label not in self._positions:
            return None
        key, number = self._positions[label]
        position = self.select(key, number)
        return None if position is None else (label, position)

    def select(self, key: str, number: int) -> Position | None:
        """A position of a block; None if the profile lacks it."""
        if key not in self._merged:
            parts = [part.blocks[key] for part in self._partitions if key in part.blocks]
            self._merged[key] = sum(parts[1:], parts[0]) if parts else None
        measured, block = self._merged[key], self._blocks[key]
        if measured is None or block.labels[number] not in measured.labels:
            return None
        label = block.labels[number]
        return Position(
            measured,
            measured.labels.index(label),
            block.role,
            self._values.get(key, {}).get(label),
        )


def draw_column(title: str, now: Position, other: tuple[str, Position] | None) -> Chart | None:
    """A chart of a column beside its reference, whose name goes before it; None without a value."""
    if now.are_ids or now.values is not None:
        return _draw_values(title, now, other)
    shown = [now, *([other[1]] if other is not None and other[1].has_histogram else [])]
    if not now.has_histogram:
        return None
    bars = fit_bars(shown)
    histograms = [
        Histogram(name, bars.edges.tolist(), bars.heights(*position.histogram), is_reference=is_reference)
        for name, position, is_reference in _name_sides(now, other)
        if position.has_histogram
    ]
    if bars.zeros_apart:
        zeros = [
            f"{name} {format_rate(fraction(int(position.stats.zeros[position.number]), position.occurrences))}"
            for name, position, _ in _name_sides(now, other)
        ]
        title = f"{title} (without 0: {', '.join(zeros)} of the values)"
    return histogram_chart(title, histograms, bars.axis("value"))


def fit_bars(positions: list[Position]) -> Bars:
    """Bars for the histograms of a column."""
    extremes = [position.extremes for position in positions]
    return choose_bars(
        [position.histogram for position in positions],
        min(least for least, _ in extremes),
        max(greatest for _, greatest in extremes),
    )


def _name_sides(now: Position, other: tuple[str, Position] | None) -> Iterator[tuple[str, Position, bool]]:
    yield "this log", now, False
    if other is not None:
        yield other[0], other[1], True


def _draw_values(title: str, now: Position, other: tuple[str, Position] | None) -> Chart | None:
    summary = now.values
    top = summary.top[:_MAX_VALUES] if summary else _top_bins(now)
    if not top:
        return None
    bars = []
    for value, rows in top:
        reference = other[1].count_value(value) if other is not None else None
        share = None if reference is None or other is None else fraction(reference, other[1].occurrences)
        note = f"{rows:,}" + (f"; {other[0]} {format_rate(share)}" if other and share is not None else "")
        bars.append(Bar(value, fraction(rows, now.occurrences), share, note=note))
    if other is not None and other[1].values is not None:
        for value, rows in other[1].values.top[:_MAX_VALUES]:
            if now.count_value(value) == 0:
                share = fraction(rows, other[1].occurrences)
                bars.append(Bar(value, 0.0, share, "bad", f"gone; {other[0]} {format_rate(share)}"))
    unit = "rows with a value" if now.are_ids else "entries"
    mark = f"; the mark is {other[0]}" if other is not None else ""
    return bar_chart(title, bars, Axis(f"fraction of {unit}{mark}", low=0.0, percent=True))


def _top_bins(position: Position) -> list[tuple[str, int]]:
    """The most frequent of the small ids, where the days' values are not known."""
    if position.role == "id":
        return []
    bins, counts = position.histogram
    exact = bins < EXACT_IDS
    order = np.argsort(-counts[exact], kind="stable")[:_MAX_VALUES]
    return [(str(bins[exact][one]), int(counts[exact][one])) for one in order]
