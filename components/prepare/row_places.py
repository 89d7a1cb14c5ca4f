"""How many rows of a log file are read at once, and where in the file the rows of a batch are."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile

from recap_model.data.log.schema import SEQUENCE_ROLES, LogColumn

_ROWS_AT_ONCE = 16_384
_EVENTS_AT_ONCE = 1 << 24
_ROW_GROUP, _ROW = b"row_group", b"row"


def rows_at_once(parquet: ParquetFile, columns: Sequence[LogColumn]) -> int:
    """Rows to read of a file at once: fewer where histories are long, so that memory is bounded.

    A log may have histories a thousand times as long as what is read of them.
    """
    names = {column.name for column in columns if column.role in SEQUENCE_ROLES}
    most = 0.0
    for number in range(parquet.num_row_groups if names else 0):
        group = parquet.metadata.row_group(number)
        leaves = [group.column(leaf) for leaf in range(group.num_columns)]
        events = sum(leaf.num_values for leaf in leaves if leaf.path_in_schema.partition(".")[0] in names)
        most = max(most, events / max(group.num_rows, 1))
    return max(1, min(_ROWS_AT_ONCE, int(_EVENTS_AT_ONCE / max(most, 1.0))))


def row_group_starts(parquet: ParquetFile) -> NDArray[np.int64]:
    """The first row of each row group of a file."""
    rows = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
    return np.cumsum([0, *rows])[:-1]


def with_place(batch: pa.RecordBatch, starts: NDArray[np.int64], first: int) -> pa.RecordBatch:
    """A batch whose schema says where it is: ``first`` is its first row in the file."""
    group = int(np.searchsorted(starts, first, side="right")) - 1
    place = {_ROW_GROUP: str(group), _ROW: str(first - int(starts[group]))}
    return batch.replace_schema_metadata(place)


def place_of(batch: pa.RecordBatch, row: int) -> str:
    """Where a row of a batch is in its file: row group, and row in it from 0."""
    place = batch.schema.metadata or {}
    if _ROW not in place:
        return f"row {row}"
    return f"row group {place[_ROW_GROUP].decode()}, row {int(place[_ROW]) + row}"
