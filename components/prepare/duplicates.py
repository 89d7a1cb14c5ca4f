"""Find duplicate rows: the same request and candidate."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.snapshot import Snapshot
from components.prepare.rows import read_file
from recap_model.config import RecapConfig
from recap_model.data.log.id_hashing import id_numbers, is_present, seeded_hash
from recap_model.data.log.schema import LogColumn, log_columns, select_columns

_ROWS_PER_BUCKET = 2_000_000
_ENTRY = np.dtype([("key", np.uint64), ("number", np.int64)])


def find_duplicates(snapshot: Snapshot, config: RecapConfig) -> NDArray[np.int64]:
    """Numbers of the rows that ``data.deduplicate`` leaves out, ascending; empty without it.

    A row without a request or candidate is not a duplicate. Rows are compared by a 64-bit hash: the probability of
    any false duplicate is 3 % among a billion rows. Hashes are bucketed to files in a temporary folder, 16 bytes a
    row, so that memory is bounded by one bucket.

    Raises:
        FileNotFoundError, ValueError: a file of the log cannot be read; it is named.
    """
    settings = config.data.deduplicate
    request, candidate = config.features.ids.request, config.features.ids.candidate
    if settings is None or request is None or candidate is None:
        return np.empty(0, dtype=np.int64)
    buckets = max(1, -(-snapshot.rows // _ROWS_PER_BUCKET))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{bucket:05d}" for bucket in range(buckets)]
        columns = select_columns(log_columns(config), (request, candidate))
        for entries in _entries(snapshot, request, candidate, columns):
            bucket_of = entries["key"] % np.uint64(buckets)
            for bucket in np.unique(bucket_of).tolist():
                with paths[bucket].open("ab") as file:
                    entries[bucket_of == bucket].tofile(file)
        found = [_later(np.fromfile(path, _ENTRY), settings.keep) for path in paths if path.is_file()]
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)


def _entries(
    snapshot: Snapshot, request: str, candidate: str, columns: list[LogColumn]
) -> Iterator[NDArray[np.void]]:
    number = 0
    for partition in snapshot.partitions:
        for file in partition.files:
            for batch in read_file(snapshot, file, columns):
                entries = np.empty(batch.num_rows, dtype=_ENTRY)
                requests = seeded_hash(id_numbers(batch.column(request)), 0).view(np.int64)
                entries["key"] = seeded_hash(
                    requests ^ seeded_hash(id_numbers(batch.column(candidate)), 1).view(np.int64), 2
                )
                entries["number"] = np.arange(number, number + batch.num_rows)
                number += batch.num_rows
                yield entries[is_present(batch.column(request)) & is_present(batch.column(candidate))]


def _later(entries: NDArray[np.void], keep: str) -> NDArray[np.int64]:
    """Numbers of the rows of each key, without the one that is kept."""
    order = np.lexsort((entries["number"], entries["key"]))
    keys, numbers = entries["key"][order], entries["number"][order]
    same = keys[1:] == keys[:-1]
    numbers = numbers[1:][same] if keep == "first" else numbers[:-1][same]
    return np.asarray(numbers, dtype=np.int64)
