"""Expectations on single rows of the sample: are rows distinct, and which rows break a rule of the profile?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.great_expectations import Expectation, Validator, expectations, rows_of
from components.validate.profile.row_sample import FILE_COLUMN
from components.validate.result import Result
from recap_model.config import RecapConfig
from recap_model.config.validation import ColumnBounds
from recap_model.data.log.columns import (
    FIRST_PLAUSIBLE_MS,
    LAST_PLAUSIBLE_MS,
    decoded,
    is_timestamp,
    milliseconds,
)
from recap_model.data.log.id_hashing import normalized_ids
from recap_model.data.log.schema import LARGEST_WEIGHT, form_of

MAX_EXAMPLES = 5
_LARGEST = 1.7976931348623157e308
_ORDER = " <= "


def distinct_rows(sample: pa.Table | None, config: RecapConfig, validator: Validator) -> list[Result]:
    """Whether a candidate comes once in a request, in the sample; nothing if the log has no such ids.

    A row that lacks one of both is no copy, here as in prepare.
    """
    ids = config.features.ids
    if sample is None or not ids.request or not ids.candidate:
        return []
    columns = [ids.request, ids.candidate]
    severity = config.validation.severity.get("rows_distinct", "warning")
    frame = frame_of(sample, columns, config)
    unique = expectations.ExpectCompoundColumnsToBeUnique(
        column_list=columns, ignore_row_if="any_value_is_missing", severity=severity
    )
    (places,) = validator.offending(frame, [unique])
    if not places:
        return [Result("rows_distinct", severity, True, len(frame))]
    said = (
        f"{ids.request} and {ids.candidate}",
        f"are not unique: {len(places):,} of {len(frame):,} sampled rows share theirs with another,",
        str(frame[FILE_COLUMN].iloc[places[0]]),
        "a candidate comes once in a request",
        "remove the copies",
    )
    examples = plain(rows_of(frame, places[:MAX_EXAMPLES]))
    return [Result("rows_distinct", severity, False, len(frame), *said, examples)]


def add_examples(
    results: list[Result],
    sample: pa.Table | None,
    snapshot: Snapshot,
    config: RecapConfig,
    validator: Validator,
) -> list[Result]:
    """Give failed results the ids and values of sampled rows that break the same rule.

    A fault so rare that no sampled row has it stays without examples.
    """
    if sample is None:
        return results
    return [
        result
        if result.success or result.examples
        else replace(result, examples=_examples(result, sample, snapshot, config, validator))
        for result in results
    ]


def _examples(
    result: Result, sample: pa.Table, snapshot: Snapshot, config: RecapConfig, validator: Validator
) -> list[dict[str, Any]]:
    columns = _columns(result, config)
    if not columns or any(not _is_scalar(sample, column) for column in columns):
        return []
    fulfilled = _expectations(result.rule, columns, snapshot, config)
    if not fulfilled:
        return []
    frame = frame_of(sample, columns, config)
    places = {place for several in validator.offending(frame, fulfilled) for place in several}
    return plain(rows_of(frame, sorted(places)[:MAX_EXAMPLES]))


def _columns(result: Result, config: RecapConfig) -> list[str]:
    """The log's columns that a result is about."""
    if _ORDER in result.subject:
        return result.subject.split(_ORDER)
    kind, _, name = result.subject.partition(" ")
    if kind == "task":
        return [config.label_columns()[name]]
    return [name] if kind == "column" else []


def _is_scalar(sample: pa.Table, column: str) -> bool:
    return column in sample.schema.names and not pa.types.is_nested(sample.schema.field(column).type)


def _expectations(
    rule: str, columns: list[str], snapshot: Snapshot, config: RecapConfig
) -> list[Expectation]:
    """What a row that does not break the rule fulfils."""
    column, make = columns[0], expectations
    there = make.ExpectColumnValuesToNotBeNull(column=column)
    match rule:
        case "feature_missing" | "feature_null_rate" | "feature_null_rate_change":
            return [there]
        case "id_nulls" | "timestamp_nulls":
            return [there]
        case "feature_non_finite_rate":
            return [there, _between(column, -_LARGEST, _LARGEST)]
        case "weight_values":
            return [there, _between(column, 0.0, LARGEST_WEIGHT)]
        case "feature_range":
            bounds = config.validation.columns.get(column, ColumnBounds())
            return [_between(column, bounds.min, bounds.max)]
        case "binary_values" | "label_values":
            return [make.ExpectColumnValuesToBeInSet(column=column, value_set=[0, 1])]
        case "timestamp_unit":
            return [_between(column, FIRST_PLAUSIBLE_MS, LAST_PLAUSIBLE_MS)]
        case "timestamp_window":
            first = datetime.combine(snapshot.first_day, datetime.min.time(), UTC) - timedelta(days=1)
            last = datetime.combine(snapshot.last_day, datetime.min.time(), UTC) + timedelta(days=2)
            return [_between(column, first.timestamp() * 1000, last.timestamp() * 1000)]
        case "timestamp_order":
            return [
                make.ExpectColumnPairValuesAToBeGreaterThanB(
                    column_A=columns[1],
                    column_B=columns[0],
                    or_equal=True,
                    ignore_row_if="either_value_is_missing",
                )
            ]
    return []


def _between(column: str, low: float | None, high: float | None) -> Expectation:
    return expectations.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)


def frame_of(sample: pa.Table, columns: list[str], config: RecapConfig) -> pd.DataFrame:
    """Some columns of the sample, with the ids and the file of each row."""
    ids = [name for name in config.features.ids.model_dump().values() if name in sample.schema.names]
    table = sample.select(list(dict.fromkeys([*ids, *columns, FILE_COLUMN])))
    for place, field in enumerate(table.schema):
        if pa.types.is_boolean(field.type):
            table = table.set_column(place, field.name, pc.cast(table.column(place), pa.int8()))
        elif is_timestamp(field.type):
            table = table.set_column(
                place, field.name, milliseconds(decoded(table.column(place)), field.name)
            )
        elif form_of(field.type) == "binary":
            table = table.set_column(place, field.name, normalized_ids(table.column(place)))
    return table.to_pandas()


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `frame_of` as examples."""
    return [{("file" if name == FILE_COLUMN else name): value for name, value in row.items()} for row in rows]
