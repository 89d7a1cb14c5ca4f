"""Evaluate custom expectations: on the profile if it decides for every row, else on the row sample."""

from typing import Any

import pandas as pd

from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.custom.expectations import CustomExpectation
from components.validate.checks.examples import MAX_EXAMPLES, build_frame, to_examples
from components.validate.checks.great_expectations import (
    ExpectationResult,
    Validator,
    expectations,
    select_rows,
)
from components.validate.profile.columns import Block, list_blocks
from components.validate.profile.exact_sum import from_units
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.row_sample import FILE_COLUMN
from components.validate.profile.scan import Scan
from components.validate.profile.statistics import Stats
from components.validate.result import Result
from recap_model.config import RecapConfig

_ROLES_WITHOUT_VALUES = ("id", "split")
_WITHIN = "expect_table_row_count_to_be_between"
_EQUAL = "expect_table_row_count_to_equal"
_NOT_NULL = "expect_column_values_to_not_be_null"
_BOUNDS = ("min_value", "max_value")


def check_custom_expectations(
    custom: list[CustomExpectation], scan: Scan, snapshot: Snapshot, config: RecapConfig, validator: Validator
) -> list[Result]:
    """A result for each expectation, in their order."""
    window, blocks = scan.profile.window(), list_blocks(config)
    where = f"{snapshot.first_day} to {snapshot.last_day}"
    results: dict[str, Result] = {}
    bounded: list[tuple[CustomExpectation, list[float]]] = []
    for item in custom:
        stats = _find_stats(item, window, blocks)
        if item.name in (_WITHIN, _EQUAL):
            results[item.source] = _check_row_count(item, window.rows, where)
        elif item.name == _NOT_NULL and stats is not None:
            results[item.source] = _check_null_count(item, *stats, where)
        elif stats is not None and (values := _read_bounded_values(item, *stats)) is not None:
            bounded.append((item, values))
    broken = _find_broken(bounded, validator)
    for item, values in bounded:
        shown = " and ".join(f"{value:g}" for value in values)
        observed = f"has {_VALUE_NAMES[item.name]} {shown}"
        results[item.source] = _build_result(item, item.source not in broken, window.rows, observed, where)
    results |= _check_on_sample(
        [item for item in custom if item.source not in results], scan, config, validator
    )
    return [results[item.source] for item in custom]


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


def _check_row_count(item: CustomExpectation, rows: int, where: str) -> Result:
    low, high = item.kwargs.get("min_value"), item.kwargs.get("max_value")
    if item.name == _EQUAL:
        low = high = item.kwargs["value"]
    above = low is None or rows > low or (rows == low and not item.kwargs.get("strict_min"))
    below = high is None or rows < high or (rows == high and not item.kwargs.get("strict_max"))
    return _build_result(item, above and below, rows, f"has {rows:,} rows", where)


def _check_null_count(item: CustomExpectation, stats: Stats, position: int, where: str) -> Result:
    nulls, rows = int(stats.nulls[position] + stats.nans[position]), int(stats.rows[position])
    holds = rows - nulls >= float(item.kwargs.get("mostly", 1.0)) * rows
    return _build_result(item, holds, rows, f"is null in {nulls:,} of {rows:,} rows", where)


def _check_on_sample(
    custom: list[CustomExpectation], scan: Scan, config: RecapConfig, validator: Validator
) -> dict[str, Result]:
    sample = scan.sample
    present = set(sample.schema.names) if sample is not None and len(sample) else set()
    checked = [item for item in custom if set(item.columns) <= present]
    observed = "cannot be checked: no row was sampled,"
    results = {
        item.source: _build_result(item, False, 0, observed, "") for item in custom if item not in checked
    }
    if sample is None or not checked:
        return results
    frame = build_frame(
        sample, list(dict.fromkeys(name for item in checked for name in item.columns)), config
    )
    for item, result in zip(
        checked, validator.evaluate(frame, [item.expectation for item in checked]), strict=True
    ):
        results[item.source] = _build_sample_result(item, result, frame, config)
    return results


def _build_sample_result(
    item: CustomExpectation, result: ExpectationResult, frame: pd.DataFrame, config: RecapConfig
) -> Result:
    where = f"a sample of {len(frame):,} rows"
    if result.error:
        return _build_result(item, False, 0, f"cannot be computed: {result.error},", where)
    if not result.checked:
        return _build_result(item, False, 0, "has no value to check, which counts as a failure,", where)
    if not result.failing_rows:
        shown = "" if result.observed is None else f": {_shorten(result.observed)} is seen"
        return _build_result(item, result.success, result.checked, f"does not fulfil it{shown}", where)
    ids = [name for name in config.features.ids.model_dump().values() if name in frame.columns]
    example_columns = frame[[*dict.fromkeys([*ids, *item.columns, FILE_COLUMN])]]
    examples = to_examples(select_rows(example_columns, result.failing_rows[:MAX_EXAMPLES]))
    values = ", ".join(_shorten(examples[0][column]) for column in item.columns)
    count = len(result.failing_rows)
    observed = f"does not hold for {count:,} rows ({count / result.checked:.1%}), such as {values},"
    return _build_result(item, result.success, result.checked, observed, where, examples)


def _build_result(
    item: CustomExpectation,
    success: bool,
    checked: int,
    observed: str,
    where: str,
    examples: list[dict[str, Any]] | None = None,
) -> Result:
    if success:
        return Result(item.name, item.severity, True, checked)
    columns = " and ".join(item.columns)
    subject = (
        "the log" if not columns else f"column {columns}" if len(item.columns) == 1 else f"columns {columns}"
    )
    hidden = ("column", "column_A", "column_B", "column_list", "batch_id")
    arguments = [f"{name} {_shorten(value)}" for name, value in item.kwargs.items() if name not in hidden]
    advice = f"fix the log, or change {item.source}"
    return Result(
        item.name,
        item.severity,
        False,
        checked,
        subject,
        observed,
        where,
        ", ".join(arguments),
        advice,
        examples or [],
    )


def _shorten(value: object) -> str:
    return " ".join(str(value).split())[:100]
