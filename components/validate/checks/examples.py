"""Checks of sampled rows: whether they are distinct, and which of them break a rule."""

from typing import Any

import pandas as pd
import pyarrow as pa

from components.validate.checks.great_expectations import Expectation, Validator, expectations, select_rows
from components.validate.checks.plain_columns import to_frame, to_plain_columns
from components.validate.profile.row_sample import FILE_COLUMN
from components.validate.result import Result
from recap_model.config import RecapConfig

MAX_EXAMPLES = 5


def check_distinct_rows(sample: pa.Table | None, config: RecapConfig, validator: Validator) -> list[Result]:
    """Whether a candidate comes once in a request, in the sample; nothing if the log has no such ids.

    A row that lacks one of the two ids is not a copy, here as in prepare.
    """
    ids = config.features.ids
    if sample is None or not ids.request or not ids.candidate:
        return []
    columns = [ids.request, ids.candidate]
    severity = config.validation.severity.get("rows_distinct", "warning")
    frame = build_frame(sample, columns, config)
    unique = expectations.ExpectCompoundColumnsToBeUnique(
        column_list=columns, ignore_row_if="any_value_is_missing", severity=severity
    )
    (copies,) = validator.find_failing_rows(frame, [unique])
    population = f"a sample of {len(frame):,} rows"
    if not copies:
        return [Result("rows_distinct", severity, True, len(frame), population=population)]
    failure = (
        f"{ids.request} and {ids.candidate}",
        f"are not unique: {len(copies):,} of {len(frame):,} sampled rows share theirs with another,",
        str(frame[FILE_COLUMN].iloc[copies[0]]),
        "a candidate comes once in a request",
        "remove the copies",
    )
    examples = to_examples(select_rows(frame, copies[:MAX_EXAMPLES]))
    return [Result("rows_distinct", severity, False, len(frame), *failure, examples, population)]


def find_examples(
    columns: list[str],
    row_expectations: list[Expectation],
    sample: pa.Table | None,
    config: RecapConfig,
    validator: Validator,
) -> list[dict[str, Any]]:
    """Ids and values of sampled rows that do not meet expectations on some scalar columns.

    A fault so rare that no sampled row has it has no examples.
    """
    if sample is None or not row_expectations or not all(_is_scalar(sample, column) for column in columns):
        return []
    frame = build_frame(sample, columns, config)
    rows = {row for failing in validator.find_failing_rows(frame, row_expectations) for row in failing}
    return to_examples(select_rows(frame, sorted(rows)[:MAX_EXAMPLES]))


def _is_scalar(sample: pa.Table, column: str) -> bool:
    return column in sample.schema.names and not pa.types.is_nested(sample.schema.field(column).type)


def build_frame(sample: pa.Table, columns: list[str], config: RecapConfig) -> pd.DataFrame:
    """Build a frame of some columns of the sample, with the ids and the file of each row."""
    ids = [name for name in config.features.ids.model_dump().values() if name in sample.schema.names]
    table = sample.select(list(dict.fromkeys([*ids, *columns, FILE_COLUMN])))
    return to_frame(to_plain_columns(table))


def to_examples(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert rows of `build_frame` to examples."""
    return [{("file" if name == FILE_COLUMN else name): value for name, value in row.items()} for row in rows]
