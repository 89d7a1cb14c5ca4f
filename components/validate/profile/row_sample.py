"""A bounded sample of rows, spread over the files: examples of what the profile only counts."""

import numpy as np
import pyarrow as pa

from components.common.artifacts.snapshot import LogFile
from components.validate.profile.statistics import Counts
from recap_model.data.log.column_roles import id_form
from recap_model.data.log.columns import decoded, is_timestamp, milliseconds
from recap_model.data.log.id_hashing import normalized_ids, sketch_hashes

SAMPLE_ROWS = 20_000
FILE_COLUMN = "recap.file"  # the file that a row is from
_MAX_VALUES = 32_000_000
_MAX_OVERSHOOT = 2  # times the rows wanted: long requests may have more than expected


class Sampler:
    """Samples whole requests, those whose id has a small hash, so that copies of a row are sampled together.

    Without request ids it takes a run of neighbouring rows from each batch, whose length follows from the rows'
    numbers in the log. Either way the rows sampled from a file do not depend on the files read before it.
    """

    def __init__(self, values_per_row: int, total_rows: int, request: str | None = None) -> None:
        self._total_rows = max(total_rows, 1)
        self._wanted = min(SAMPLE_ROWS, _MAX_VALUES // values_per_row, self._total_rows)
        self._request = request

    @property
    def max_rows(self) -> int:
        """The most rows that a sample has."""
        return _MAX_OVERSHOOT * self._wanted

    def sample(self, batch: pa.RecordBatch, file: LogFile, first_row: int) -> pa.Table | None:
        """Copy the sampled rows of a batch; ``first_row`` is the number in the log of its first row."""
        rows = self._select_requests(batch) if self._request else self._select_run(first_row, batch.num_rows)
        if not len(rows):
            return None
        sampled = batch.take(pa.array(rows))
        paths = pa.array(np.full(len(rows), file.path, dtype=object), pa.string())
        return pa.Table.from_batches([sampled]).append_column(FILE_COLUMN, paths)

    def _select_run(self, first_row: int, rows: int) -> Counts:
        count = self._sampled_before(first_row + rows) - self._sampled_before(first_row)
        start = (rows - count) // 2
        return np.arange(start, start + count)

    def _sampled_before(self, row: int) -> int:
        """Rows to sample from those before a row of the log."""
        return -(-self._wanted * min(row, self._total_rows) // self._total_rows)

    def _select_requests(self, batch: pa.RecordBatch) -> Counts:
        if self._total_rows <= self._wanted:
            return np.arange(batch.num_rows)
        threshold = np.uint64((self._wanted << 64) // self._total_rows)
        return np.flatnonzero(sketch_hashes(batch.column(self._request)) < threshold)


def concat_sample(tables: list[pa.Table]) -> pa.Table | None:
    """The sampled rows as one table; None without a row."""
    return pa.concat_tables(_unify_types(tables), promote_options="permissive") if tables else None


def _unify_types(tables: list[pa.Table]) -> list[pa.Table]:
    """Convert columns that files hold as text, times or flags of several types, so that tables concatenate."""
    types: dict[str, set[pa.DataType]] = {}
    for field in (field for table in tables for field in table.schema):
        types.setdefault(field.name, set()).add(field.type)
    ambiguous = {name: kinds for name, kinds in types.items() if len(kinds) > 1}
    text, times, flags, unsigned = (
        {name for name, kinds in ambiguous.items() if any(map(test, kinds))}
        for test in (_is_text_id, is_timestamp, pa.types.is_boolean, pa.types.is_uint64)
    )
    return [_convert_columns(table, text, times, flags, unsigned) for table in tables]


def _is_text_id(kind: pa.DataType) -> bool:
    return id_form(kind) == "text"


def _convert_columns(
    table: pa.Table, text: set[str], times: set[str], flags: set[str], unsigned: set[str]
) -> pa.Table:
    for position, name in enumerate(table.schema.names):
        column, kind = table.column(position), table.schema.field(position).type
        if name in text:
            column = normalized_ids(column).cast(pa.string())
        elif name in times:
            column = milliseconds(decoded(column), name)
        elif name in flags and pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        elif name in unsigned and pa.types.is_uint64(kind):
            # As ids are hashed; beyond 2^63 they would fit no signed integer.
            column = column.cast(pa.int64(), safe=False)
        else:
            continue
        table = table.set_column(position, name, column)
    return table
