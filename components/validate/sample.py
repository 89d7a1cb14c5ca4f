"""A bounded sample of rows, spread over the files, that gives examples of what the profile only counts."""

import numpy as np
import pyarrow as pa

from components.artifacts.snapshot import LogFile

SAMPLE_ROWS = 20_000
FILE_COLUMN = "recap.file"  # the file that a row is from
_MAX_VALUES = 32_000_000


class Sampler:
    """Takes from each batch a run of rows, so that at any time the sample's share is that of the rows read."""

    def __init__(self, values_per_row: int, total: int) -> None:
        self._wanted, self._total = min(SAMPLE_ROWS, _MAX_VALUES // values_per_row), max(total, 1)
        self._taken = self._seen = 0
        self._parts: list[pa.Table] = []

    def take(self, batch: pa.RecordBatch, file: LogFile, before: int, whole: bool) -> None:
        """Copy a run from the middle of a batch of a file that is as it should be."""
        self._seen = max(self._seen, before) + batch.num_rows
        wanted = -(-self._wanted * min(self._seen, self._total) // self._total) - self._taken
        count = min(wanted, batch.num_rows)
        if count <= 0 or not whole:
            return
        first = (batch.num_rows - count) // 2
        rows = batch.take(pa.array(np.arange(first, first + count)))
        name = pa.array(np.full(count, file.path, dtype=object), pa.string())
        self._parts.append(pa.Table.from_batches([rows]).append_column(FILE_COLUMN, name))
        self._taken += count

    def table(self) -> pa.Table | None:
        """The sample; None without a row."""
        return pa.concat_tables(self._parts, promote_options="permissive") if self._parts else None
