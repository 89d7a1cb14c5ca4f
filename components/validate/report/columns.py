"""The page's tables of all columns: a small histogram of each, moments of numbers, frequent values of ids."""

import math
from dataclasses import dataclass

import numpy as np

from components.common.html.charts import Chart
from components.common.html.numbers import format_number, format_rate
from components.common.html.tables import Column
from components.validate.profile.columns import FEATURE_ROLES, Block
from components.validate.profile.profile import ValueSummary
from components.validate.profile.sketches.exact_sum import from_units
from components.validate.profile.statistics import compute_mean, fraction
from components.validate.report.distributions import Columns, Position, draw_column, fit_bars

MAX_ROWS = 5000  # the profile has all
_NAMED_VALUES = 6
_LEAST_FRACTION = 0.001  # of the rows: rarer values are no news
_SPARK_HEIGHT, _SPARK_BAR = 18, 3
_MEASURED = {
    "embedding": "norm",
    "sparse": "length",
    "sequence": "length",
    "sequence_id": "newest",
    "sequence_actions": "newest",
    "sequence_number": "newest",
}
_COMMON = (
    Column("column"),
    Column(
        "role",
        help="of an embedding its norm is measured, of a list its length, of a sequence the newest event",
    ),
    Column("values", help="histogram, or the most frequent values"),
    Column("missing", help="null, NaN, the id -1, an embedding of zeros, an empty list"),
)
_MOMENTS = (
    Column("zero"),
    Column("least"),
    Column("mean"),
    Column("deviation", help="standard deviation"),
    Column("greatest"),
)
_VALUES = (
    Column(
        "new",
        help="fraction of the rows with a value that the reference does not have; of hashed ids at least",
    ),
    Column("distinct", help="different ids or words; over 1,023 with a standard error of 3%"),
    Column(
        "most frequent", help="with their fraction of the rows that have a value, or of the entries of lists"
    ),
)


@dataclass(frozen=True)
class ColumnRow:
    """A row: the histogram's outline as an SVG path, empty without one; texts with the values that they sort by."""

    label: str
    role: str
    spark: str
    cells: list[tuple[str, float | str | None]]


@dataclass(frozen=True)
class ColumnTable:
    """Columns of numbers, or of ids and words."""

    title: str
    heads: tuple[Column, ...]
    rows: list[ColumnRow]
    has_words: bool = False


def list_tables(columns: Columns, blocks: list[Block], reference: Columns | None) -> list[ColumnTable]:
    """The tables of features, weights and ids, in the config's order."""
    numbers: list[ColumnRow] = []
    values: list[ColumnRow] = []
    for block in blocks:
        if block.role in (*FEATURE_ROLES, "weight", "id"):
            role = ", ".join(filter(None, (block.role.replace("_", " "), _MEASURED.get(block.role))))
            for number, label in enumerate(block.labels):
                position = columns.select(block.key, number)
                if position is None:
                    continue
                missing = fraction(position.missing, position.rows)
                start = (format_rate(missing), missing)
                if not position.are_ids:
                    row = ColumnRow(label, role, _draw_histogram(position), [start, *_list_moments(position)])
                    numbers.append(row)
                if position.values is not None:
                    role = block.role.replace("_", " ")
                    before = reference.select(block.key, number) if reference is not None else None
                    new = _count_new(position, before)
                    row = ColumnRow(
                        label,
                        role,
                        _draw_values(position.values),
                        [start, new, *_list_values(position.values, position)],
                    )
                    values.append(row)
    return [
        table
        for table in (
            ColumnTable("Ids and words", (*_COMMON, *_VALUES), values, has_words=True),
            ColumnTable("Numbers", (*_COMMON, *_MOMENTS), numbers),
        )
        if table.rows
    ]


def draw_charts(columns: Columns, reference: tuple[str, Columns], labels: list[str]) -> list[Chart]:
    """Charts with axes of some columns beside the reference."""
    name, beside = reference
    pairs = [(label, columns.find(label), beside.find(label)) for label in labels]
    drawn = [
        draw_column(label, now[1], (name, before[1]))
        for label, now, before in pairs
        if now is not None and before is not None
    ]
    return [chart for chart in drawn if chart is not None]


def _list_moments(position: Position) -> list[tuple[str, float | str | None]]:
    zeros = fraction(int(position.stats.zeros[position.number]), position.rows)
    least, greatest = position.extremes
    mean = compute_mean(position.stats, position.number)
    return [(format_rate(zeros), zeros), *map(_number, (least, mean, _deviation(position), greatest))]


def _count_new(position: Position, reference: Position | None) -> tuple[str, float | str | None]:
    if not position.are_ids or position.role == "id" or reference is None or not position.has_histogram:
        return "–", None
    bins, counts = position.histogram
    new = fraction(int(counts[~np.isin(bins, reference.histogram[0])].sum()), int(counts.sum()))
    return format_rate(new), new


def _list_values(values: ValueSummary, position: Position) -> list[tuple[str, float | str | None]]:
    named = [
        f"{value} ({format_rate(fraction(rows, position.occurrences))})"
        for value, rows in values.top[:_NAMED_VALUES]
        if rows >= _LEAST_FRACTION * position.occurrences
    ]
    distinct = f"{values.distinct:,}" if values.is_exact else f"about {values.distinct:,}"
    return [(distinct, values.distinct), (", ".join(named), None)]


def _number(value: float) -> tuple[str, float | str | None]:
    return (format_number(value), value) if math.isfinite(value) else ("–", None)


def _deviation(position: Position) -> float:
    finite, squares = int(position.stats.finite[position.number]), position.stats.squares[position.number]
    mean = compute_mean(position.stats, position.number)
    if not finite or squares is None or not math.isfinite(mean):
        return math.nan
    return math.sqrt(max(from_units(squares) / finite - mean * mean, 0.0))


def _draw_histogram(position: Position) -> str:
    return _draw_spark(fit_bars([position]).heights(*position.histogram)) if position.has_histogram else ""


def _draw_values(values: ValueSummary) -> str:
    return _draw_spark([float(rows) for _, rows in values.top])


def _draw_spark(heights: list[float]) -> str:
    """The outline of bars; empty without one."""
    highest = max(heights, default=0.0)
    if highest <= 0.0:
        return ""
    tops = [
        _SPARK_HEIGHT - max(round(_SPARK_HEIGHT * height / highest), int(height > 0.0)) for height in heights
    ]
    return f"M0 {_SPARK_HEIGHT}" + "".join(f"V{top}h{_SPARK_BAR}" for top in tops) + f"V{_SPARK_HEIGHT}Z"
