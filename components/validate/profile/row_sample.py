"""A bounded sample of rows, spread over the files, that gives examples of what the profile only counts."""

import numpy as np
import pyarrow as pa

from components.common.artifacts.snapshot import LogFile
from components.validate.profile.statistics import Counts
from recap_model.data.log.columns import decoded, is_timestamp, milliseconds
from recap_model.data.log.id_hashing import normalized_ids, sketch_hashes
from recap_model.data.log.schema import id_form

SAMPLE_ROWS = 20_000
FILE_COLUMN = "recap.file"  # the file that a row is from
_MAX_VALUES = 32_000_000
_MOST_REQUESTS = 2  # times the rows wanted: requests of very unequal length may be more than their share


class Sampler:
    """Takes of every file the rows of some requests: those whose id has a small hash, so that copies come together.

    Without ids of requests it takes from each batch a run of neighbouring rows, of a length that follows from the
    rows' numbers in the log. So what is taken of a file does not depend on what was read before it.
    """

    def __init__(self, values_per_row: int, total: int, request: str | None = None) -> None:
        self._total = max(total, 1)
        self._wanted = min(SAMPLE_ROWS, _MAX_VALUES // values_per_row, self._total)
        self._request = request

    @property
    def most(self) -> int:
        """Rows that the sample has at most."""
        return _MOST_REQUESTS * self._wanted

    def take(self, batch: pa.RecordBatch, file: LogFile, first: int) -> pa.Table | None:
        """Copy some rows of a batch; ``first`` is the number in the log of its first row."""
        chosen = self._of_requests(batch) if self._request else self._run(first, batch.num_rows)
        if not len(chosen):
            return None
        rows = batch.take(pa.array(chosen))
        name = pa.array(np.full(len(chosen), file.path, dtype=object), pa.string())
        return pa.Table.from_batches([rows]).append_column(FILE_COLUMN, name)

    def _run(self, first: int, rows: int) -> Counts:
        count = self._share(first + rows) - self._share(first)
        start = (rows - count) // 2
        return np.arange(start, start + count)

    def _share(self, rows: int) -> int:
        return -(-self._wanted * min(rows, self._total) // self._total)

    def _of_requests(self, batch: pa.RecordBatch) -> Counts:
        if self._total <= self._wanted:
            return np.arange(batch.num_rows)
        least = np.uint64((self._wanted << 64) // self._total)
        return np.flatnonzero(sketch_hashes(batch.column(self._request)) < least)


def in_one(parts: list[pa.Table]) -> pa.Table | None:
    """What was taken as one table; None without a row."""
    return pa.concat_tables(_alike(parts), promote_options="permissive") if parts else None


def _alike(parts: list[pa.Table]) -> list[pa.Table]:
    """Tables whose columns can be put together where files have words, times or flags in several forms."""
    kinds: dict[str, set[pa.DataType]] = {}
    for field in (field for part in parts for field in part.schema):
        kinds.setdefault(field.name, set()).add(field.type)
    several = {name: found for name, found in kinds.items() if len(found) > 1}
    words, times, flags, large = (
        {name for name, found in several.items() if any(map(test, found))}
        for test in (_is_text_id, is_timestamp, pa.types.is_boolean, pa.types.is_uint64)
    )
    return [_changed(part, words, times, flags, large) for part in parts]


def _is_text_id(kind: pa.DataType) -> bool:
    return id_form(kind) == "text"


def _changed(part: pa.Table, words: set[str], times: set[str], flags: set[str], large: set[str]) -> pa.Table:
    for place, name in enumerate(part.schema.names):
        if name in words:
            part = part.set_column(place, name, normalized_ids(part.column(place)).cast(pa.string()))
        elif name in times:
            part = part.set_column(place, name, milliseconds(decoded(part.column(place)), name))
        elif name in flags and pa.types.is_boolean(part.schema.field(place).type):
            part = part.set_column(place, name, part.column(place).cast(pa.int8()))
        elif name in large and pa.types.is_uint64(part.schema.field(place).type):
            # As ids are hashed; beyond 2^63 they would fit no signed integer.
            part = part.set_column(place, name, part.column(place).cast(pa.int64(), safe=False))
    return part
