"""Where in its file the rows of a batch of the log are."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile

_ROW_GROUP, _ROW = b"row_group", b"row"


def row_group_starts(parquet: ParquetFile) -> NDArray[np.int64]:
    """The first row of each row group of a file."""
    rows = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
    return np.cumsum([0, *rows])[:-1]


def mark_position(batch: pa.RecordBatch, starts: NDArray[np.int64], first: int) -> pa.RecordBatch:
    """A batch whose schema says where it is: ``first`` is its first row in the file."""
    group = int(np.searchsorted(starts, first, side="right")) - 1
    position = {_ROW_GROUP: str(group), _ROW: str(first - int(starts[group]))}
    return batch.replace_schema_metadata(position)


def describe_position(batch: pa.RecordBatch, row: int) -> str:
    """Where a row of a batch is in its file: row group, and row in it from 0."""
    position = batch.schema.metadata or {}
    if _ROW not in position:
        return f"row {row}"
    return f"row group {position[_ROW_GROUP].decode()}, row {int(position[_ROW]) + row}"
