"""Custom expectations that the profile decides, for every row: extremes, means, nulls, numbers of rows."""

import pandas as pd

from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.custom.expectations import CustomExpectation
from components.validate.checks.custom.results import build_rule_result
from components.validate.checks.great_expectations import Validator, expectations
from components.validate.checks.rule import describe_number
from components.validate.profile.columns import Block, list_blocks
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.scan import Scan
from components.validate.profile.sketches.exact_sum import from_units
from components.validate.profile.statistics import Stats
from components.validate.result import Result
from recap_model.config import RecapConfig

_ROLES_WITHOUT_VALUES = ("id", "split")
_WITHIN = "expect_table_row_count_to_be_between"
_EQUAL = "expect_table_row_count_to_equal"
_NOT_NULL = "expect_column_values_to_not_be_null"
_BOUNDS = ("min_value", "max_value")


def check_on_profile(
    custom: list[CustomExpectation], scan: Scan, snapshot: Snapshot, config: RecapConfig, validator: Validator
) -> dict[str, Result]:
    """Results, by source, of the expectations that the profile decides."""
    window, blocks = scan.profile.window(), list_blocks(config)
    where, population = f"{snapshot.first_day} to {snapshot.last_day}", f"all {window.rows:,} rows"
    results: dict[str, Result] = {}

    def add(item: CustomExpectation, success: bool, checked: int, observed: str) -> None:
        results[item.source] = build_rule_result(item, success, checked, observed, population, where=where)

    bounded: list[tuple[CustomExpectation, list[float]]] = []
    for item in custom:
        stats = _find_stats(item, window, blocks)
        if item.name in (_WITHIN, _EQUAL):
            add(item, _allows_rows(item, window.rows), window.rows, f"has {window.rows:,} rows")
        elif item.name == _NOT_NULL and stats is not None:
            nulls, rows = _count_nulls(*stats)
            success = rows - nulls >= float(item.kwargs.get("mostly", 1.0)) * rows
            add(item, success, rows, f"is null in {nulls:,} of {rows:,} rows")
        elif stats is not None and (values := _read_bounded_values(item, *stats)) is not None:
            bounded.append((item, values))
    broken = _find_broken(bounded, validator)
    for item, values in bounded:
        shown = " and ".join(describe_number(value, 6) for value in values)
        add(item, item.source not in broken, window.rows, f"has {_VALUE_NAMES[item.name]} {shown}")
    return results


_VALUE_NAMES = {
    "expect_column_values_to_be_between": "values between",
    "expect_column_min_to_be_between": "a minimum of",
    "expect_column_max_to_be_between": "a maximum of",
    "expect_column_mean_to_be_between": "a mean of",
}


def _read_bounded_values(item: CustomExpectation, stats: Stats, position: int) -> list[float] | None:
    """Values that lie within the expectation's bounds if and only if it holds for all rows of the window."""
    finite, total = int(stats.finite[position]), stats.total[position]
    if item.name not in _VALUE_NAMES or item.kwargs.get("mostly", 1) != 1:
        return None
    if (
        int(stats.infinities[position])
        or not finite
        or not all(map(_is_number, map(item.kwargs.get, _BOUNDS)))
    ):
        return None
    low, high = float(stats.minimum[position]), float(stats.maximum[position])
    match item.name:
        case "expect_column_min_to_be_between":
            return [low]
        case "expect_column_max_to_be_between":
            return [high]
        case "expect_column_mean_to_be_between":
            return None if total is None else [from_units(total) / finite]
    return [low, high] if high > low else [low]


def _is_number(bound: object) -> bool:
    return bound is None or isinstance(bound, int | float)


def _find_broken(bounded: list[tuple[CustomExpectation, list[float]]], validator: Validator) -> set[str]:
    """Sources of the expectations with a value out of bounds, checked as one table.

    Great Expectations takes milliseconds for each expectation, even on a small table.
    """
    rows = [
        {
            "source": item.source,
            "value": value,
            "bound": item.kwargs[bound],
            "lower": lower,
            "strict": bool(item.kwargs.get(strict)),
        }
        for item, values in bounded
        for value in values
        for bound, strict, lower in (("min_value", "strict_min", True), ("max_value", "strict_max", False))
        if item.kwargs.get(bound) is not None
    ]
    broken: set[str] = set()
    if not rows:
        return broken
    for (lower, strict), table in pd.DataFrame(rows).groupby(["lower", "strict"]):
        high, low = ("value", "bound") if lower else ("bound", "value")
        within = expectations.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=high, column_B=low, or_equal=not strict, ignore_row_if="neither"
        )
        (failing,) = validator.find_failing_rows(table, [within])
        broken |= set(table["source"].iloc[failing])
    return broken


def _find_stats(
    item: CustomExpectation, window: PartitionProfile, blocks: list[Block]
) -> tuple[Stats, int] | None:
    """The statistics with the expectation's only column, and the column's index in them."""
    if len(item.columns) != 1 or item.kwargs.get("row_condition"):
        return None
    (column,) = item.columns
    for block in blocks:
        scalar = column in block.columns and block.list_width is None and block.config is None
        if scalar and block.key in window.blocks:
            index = block.columns.index(column)
            if item.name == _NOT_NULL or not (block.role in _ROLES_WITHOUT_VALUES or block.any_id(index)):
                return window.blocks[block.key].stats, index
    return None


def _allows_rows(item: CustomExpectation, rows: int) -> bool:
    low, high = item.kwargs.get("min_value"), item.kwargs.get("max_value")
    if item.name == _EQUAL:
        low = high = item.kwargs["value"]
    above = low is None or rows > low or (rows == low and not item.kwargs.get("strict_min"))
    below = high is None or rows < high or (rows == high and not item.kwargs.get("strict_max"))
    return above and below


def _count_nulls(stats: Stats, position: int) -> tuple[int, int]:
    """Rows without a value, and all rows."""
    return int(stats.nulls[position] + stats.nans[position]), int(stats.rows[position])
