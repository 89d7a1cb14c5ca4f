"""Great Expectations on small frames, where an empty frame counts as a failure.

Great Expectations itself passes an empty table, and its severities do not change a result; severities are applied by
`ValidationResult`.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

import pandas as pd

__all__ = [
    "MAP_EXPECTATIONS",
    "ExpectRuleWithinBounds",
    "Expectation",
    "ExpectationResult",
    "UnknownExpectationError",
    "Validator",
    "between",
    "create_expectation",
    "expectations",
    "in_order",
    "not_null",
    "select_rows",
    "zero_or_one",
]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import great_expectations as gx
    from great_expectations import expectations
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        Expectation,
        MulticolumnMapExpectation,
    )
    from great_expectations.expectations.metrics.map_metric_provider import (
        MulticolumnMapMetricProvider,
        multicolumn_condition_partial,
    )
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

MAP_EXPECTATIONS = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
"""Expectations that a row meets or not."""

_ROW = "recap.row"

for _name in ("great_expectations", "great_expectations.data_context"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class _RuleWithinBounds(MulticolumnMapMetricProvider):
    """Whether each row of a rule has its value within the bounds in the same row."""

    condition_metric_name = "multicolumn_values.rule_within_bounds"
    condition_value_keys = ("rule",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, rule: str, **_: Any) -> pd.Series:  # noqa: N805 - it is handed the class
        value = column_list["value"]
        within = (value >= column_list["lowest"]) & (value <= column_list["highest"])
        return (column_list["rule"] != rule) | within


class ExpectRuleWithinBounds(MulticolumnMapExpectation):
    """Expect each value of a rule to lie within the bounds in the same row; NaN is outside."""

    rule: str
    column_list: list[str] = ["rule", "value", "lowest", "highest"]
    ignore_row_if: Literal["never"] = "never"

    map_metric: ClassVar[str] = "multicolumn_values.rule_within_bounds"
    args_keys = ("column_list", "rule")
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "rule", "mostly", "ignore_row_if")


def not_null(column: str) -> Expectation:
    """Expect a value in each row."""
    return expectations.ExpectColumnValuesToNotBeNull(column=column)


def between(column: str, lowest: float | None, highest: float | None) -> Expectation:
    """Expect each row's value between bounds, inclusive."""
    return expectations.ExpectColumnValuesToBeBetween(column=column, min_value=lowest, max_value=highest)


def zero_or_one(column: str) -> Expectation:
    """Expect 0 or 1 in each row."""
    return expectations.ExpectColumnValuesToBeInSet(column=column, value_set=[0, 1])


def in_order(first: str, second: str) -> Expectation:
    """Expect each row's second value not below its first, where it has both."""
    return expectations.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=second, column_B=first, or_equal=True, ignore_row_if="either_value_is_missing"
    )


class UnknownExpectationError(ValueError):
    """Great Expectations has no expectation of a name."""


def create_expectation(kind: str, kwargs: dict[str, Any]) -> Expectation:
    """Create an expectation by its type, as ``expect_column_values_to_be_between``.

    Raises UnknownExpectationError, or ValueError for invalid arguments.
    """
    try:
        implementation = get_expectation_impl(kind)
    except ExpectationNotFoundError:
        near = get_close_matches(kind, list_registered_expectation_implementations(), 3)
        hint = f"; near are {', '.join(near)}" if near else ""
        raise UnknownExpectationError(f"Great Expectations has no {kind!r}{hint}") from None
    return implementation(**kwargs)


@dataclass(frozen=True)
class ExpectationResult:
    """The result of one expectation on a frame.

    Attributes:
        checked: rows that have a value to check.
        failing: rows that violate it; 0 for an expectation on a column as a whole.
        failing_rows: their indices, of a pandas frame.
        observed: the observed value of an expectation on a column as a whole.
        error: why it cannot be computed, in one line.
    """

    success: bool
    checked: int
    failing: int = 0
    failing_rows: Sequence[int] = ()
    observed: Any = None
    error: str = ""


class Validator:
    """An ephemeral context of Great Expectations that validates frames of pandas, or of Spark."""

    def __init__(self, *, spark: bool = False) -> None:
        nowhere = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
        settings = DataContextConfig(
            store_backend_defaults=nowhere, progress_bars=ProgressBarsConfig(globally=False)
        )
        context = gx.get_context(mode="ephemeral", project_config=settings)
        sources = context.data_sources
        # A persisted frame would be kept in the executors' memory.
        source = sources.add_spark("recap", persist=False) if spark else sources.add_pandas("recap")
        asset = source.add_dataframe_asset("frame")
        self._whole: BatchDefinition = asset.add_batch_definition_whole_dataframe("whole")

    def find_failing_rows(self, frame: pd.DataFrame, expectations: list[Expectation]) -> list[list[int]]:
        """For each expectation the indices of the frame's rows that violate it.

        Raises:
            ValueError: the frame is empty, or an expectation cannot be computed on it.
        """
        return [list(_list_failing_rows(result)) for result in self._results(frame, expectations)]

    def evaluate(self, frame: pd.DataFrame, expectations: list[Expectation]) -> list[ExpectationResult]:
        """The result of each expectation on the frame. Raises ValueError if the frame is empty."""
        return [_read_result(result, len(frame)) for result in self._results(frame, expectations)]

    def count(self, frame: Any, rows: int, expectations: list[Expectation]) -> list[ExpectationResult]:
        """The result of each expectation on a frame of pandas or Spark with ``rows``, without the rows that fail."""
        return [_read_result(result, rows) for result in self._validate(frame, expectations, _COUNTS)]

    def _results(self, frame: pd.DataFrame, expectations: list[Expectation]) -> list[Any]:
        if frame.empty:
            raise ValueError("no rows to check; an empty result counts as a failure")
        numbered = frame.reset_index(drop=True)
        numbered[_ROW] = range(len(numbered))
        return self._validate(numbered, expectations, _ROWS)

    def _validate(self, frame: Any, expectations: list[Expectation], form: dict[str, Any]) -> list[Any]:
        numbered_expectations = [
            item.copy(update={"meta": {"number": number}}) for number, item in enumerate(expectations)
        ]
        suite = gx.ExpectationSuite(name="recap", expectations=numbered_expectations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batch = self._whole.get_batch({"dataframe": frame})
            results = batch.validate(suite, result_format=form).results
        by_number = {item.expectation_config.meta["number"]: item for item in results}
        return [by_number[number] for number in range(len(expectations))]


_ROWS = {"result_format": "COMPLETE", "unexpected_index_column_names": [_ROW]}
_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0}


def _list_failing_rows(result: Any) -> Iterator[int]:
    if _raised(result.exception_info):
        raise ValueError(f"cannot be computed: {result.expectation_config.type}: {result.exception_info}")
    unexpected = result.result.get("unexpected_index_list") or []
    if not result.success and not unexpected:
        raise ValueError(f"{result.expectation_config.type} fails without naming a row")
    yield from sorted({int(item[_ROW]) for item in unexpected})


def _read_result(result: Any, rows: int) -> ExpectationResult:
    if _raised(result.exception_info):
        info = result.exception_info
        raised = [info] if "exception_message" in info else list(info.values())
        message = " ".join(str(raised[0].get("exception_message")).split())[:200]
        return ExpectationResult(False, 0, error=message)
    content = result.result
    failing_rows = sorted({int(item[_ROW]) for item in content.get("unexpected_index_list") or []})
    checked = int(content.get("element_count", rows)) - int(content.get("missing_count") or 0)
    failing = int(content.get("unexpected_count") or 0)
    return ExpectationResult(
        bool(result.success), checked, failing, failing_rows, content.get("observed_value")
    )


def _raised(info: dict[str, Any]) -> bool:
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return any(item.get("raised_exception") for item in info.values())


def select_rows(frame: pd.DataFrame, rows: list[int]) -> list[dict[str, Any]]:
    """Rows of a frame as plain dicts."""
    return [{str(name): value for name, value in row.items()} for row in frame.iloc[rows].to_dict("records")]
