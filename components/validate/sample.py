"""A bounded sample of rows, spread over the files, that gives examples of what the profile only counts."""

import numpy as np
import pyarrow as pa

from components.artifacts.snapshot import LogFile
from components.validate.arrays import hashes_of
from components.validate.measure import Counts
from recap_model.data.columns import decoded, is_text, milliseconds

SAMPLE_ROWS = 20_000
FILE_COLUMN = "recap.file"  # the file that a row is from
_MAX_VALUES = 32_000_000
_MOST_REQUESTS = 2  # times the rows wanted: requests of very unequal length may be more than their share


class Sampler:
    """Takes of every file the rows of some requests: those whose id has a small hash, so that copies come together.

    Without ids of requests it takes from each batch a run of neighbouring rows. At any time the sample's share is
    about that of the rows read.
    """

    def __init__(self, values_per_row: int, total: int, request: str | None = None) -> None:
        self._wanted, self._total = min(SAMPLE_ROWS, _MAX_VALUES // values_per_row), max(total, 1)
        self._request = request
        self._taken = self._seen = 0
        self._parts: list[pa.Table] = []

    def take(self, batch: pa.RecordBatch, file: LogFile, before: int, whole: bool) -> None:
        """Copy some rows of a batch of a file that is as it should be."""
        self._seen = max(self._seen, before) + batch.num_rows
        chosen = self._of_requests(batch) if whole and self._request else self._run(batch)
        if not len(chosen) or not whole:
            return
        rows = batch.take(pa.array(chosen))
        name = pa.array(np.full(len(chosen), file.path, dtype=object), pa.string())
        self._parts.append(pa.Table.from_batches([rows]).append_column(FILE_COLUMN, name))
        self._taken += len(chosen)

    def _run(self, batch: pa.RecordBatch) -> Counts:
        wanted = -(-self._wanted * min(self._seen, self._total) // self._total) - self._taken
        count = max(min(wanted, batch.num_rows), 0)
        first = (batch.num_rows - count) // 2
        return np.arange(first, first + count)

    def _of_requests(self, batch: pa.RecordBatch) -> Counts:
        if self._total <= self._wanted:
            return np.arange(batch.num_rows)
        least = np.uint64((self._wanted << 64) // self._total)
        chosen = np.flatnonzero(hashes_of(batch.column(self._request)) < least)
        return chosen[: max(_MOST_REQUESTS * self._wanted - self._taken, 0)]

    def table(self) -> pa.Table | None:
        """The sample; None without a row."""
        return pa.concat_tables(_alike(self._parts), promote_options="permissive") if self._parts else None


def _alike(parts: list[pa.Table]) -> list[pa.Table]:
    """Tables whose columns of words and times can be put together where files have them in several forms."""
    kinds: dict[str, set[pa.DataType]] = {}
    for field in (field for part in parts for field in part.schema):
        kinds.setdefault(field.name, set()).add(field.type)
    several = {name: found for name, found in kinds.items() if len(found) > 1}
    words = {name for name, found in several.items() if any(map(is_text, found))}
    times = {name for name, found in several.items() if any(map(pa.types.is_timestamp, found))}
    return [_changed(part, words, times) for part in parts]


def _changed(part: pa.Table, words: set[str], times: set[str]) -> pa.Table:
    for place, name in enumerate(part.schema.names):
        if name in words:
            part = part.set_column(place, name, part.column(place).cast(pa.string()))
        elif name in times:
            part = part.set_column(place, name, milliseconds(decoded(part.column(place)), name))
    return part
