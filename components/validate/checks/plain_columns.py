"""Columns of a log in the few types that Great Expectations compares equally in pandas and in Spark."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recap_model.data.log.column_roles import form_of
from recap_model.data.log.columns import decoded, milliseconds
from recap_model.data.log.id_hashing import normalized_ids

_EXACT_IN_FLOAT64 = 2**53


def to_plain_columns(table: pa.Table) -> pa.Table:
    """Convert scalar columns: integers, flags and times (milliseconds) to int64, numbers to float64, ids to text.

    NaN becomes null, as pandas reads it: Spark would compare it.
    """
    return pa.table([_convert(table.column(name), name) for name in table.schema.names], table.schema.names)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Convert `to_plain_columns` to pandas; an integer that float64 cannot hold exactly is kept beside nulls."""
    frame = table.to_pandas()
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if pa.types.is_integer(column.type) and column.null_count and _has_large(column):
            frame[name] = column.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def _has_large(column: pa.ChunkedArray) -> bool:
    extremes = pc.min_max(column).as_py()
    return any(value is not None and abs(value) > _EXACT_IN_FLOAT64 for value in extremes.values())


def _convert(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    column = decoded(column)
    match form_of(column.type):
        case "null" | "float":
            column = column.cast(pa.float64())
            return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
        case "boolean":
            return column.cast(pa.int8()).cast(pa.int64())
        case "integer":
            # Unsigned integers from 2^63 on are ids, which are hashed as int64.
            return column.cast(pa.int64(), safe=False)
        case "timestamp":
            return milliseconds(column, name)
        case "binary":
            return normalized_ids(column).cast(pa.string())
        case "text":
            return column.cast(pa.string())
    return column
