"""Writes the rows of a set as Arrow IPC files that memory-map, in the log's order or shuffled."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.fs import FileSystem

from components.artifacts.hashing import mix
from components.build.rows import Rows
from components.build.sink import DigestSink
from recap_model.data.lists import PREFIX
from recap_model.data.manifest import RowFile, TaskCounts

_RECORD_BATCH_BYTES = 32 << 20
_RECORD_BATCH_ROWS = (256, 8192)


class SetWriter:
    """Rows in, files out: each row goes to a shard, and leaves it in record batches that memory holds.

    With a seed, a row's shard and its place in a record batch follow from its number and the seed.

    Args:
        filesystem, folder: where the files go.
        tasks: names of the labels' columns.
        shards: number of files.
        seed: of the shuffle; rows stay in the log's order without one, in one file.
    """

    def __init__(
        self, filesystem: FileSystem, folder: str, tasks: list[str], shards: int = 1, seed: int | None = None
    ) -> None:
        self._filesystem = filesystem
        self._folder = folder
        self._tasks = tasks
        self._shards = shards
        self._seed = seed
        self._waiting: list[list[Rows]] = [[] for _ in range(shards)]
        self._sinks: dict[int, DigestSink] = {}
        self._writers: dict[int, pa.ipc.RecordBatchFileWriter] = {}
        self._written = [0] * shards
        self._record_batch_rows = 0
        self._labelled = np.zeros(len(tasks), dtype=np.int64)
        self._positives = np.zeros(len(tasks), dtype=np.int64)
        self.groups: dict[str, int] = {}

    @property
    def rows(self) -> int:
        return sum(self._written)

    def add(self, rows: Rows) -> None:
        """Take rows; those that fill a record batch are written."""
        if not len(rows):
            return
        if not self._record_batch_rows:
            self.groups = {name: array.shape[1] for name, array in rows.groups.items()}
            row_bytes = sum(array.nbytes for array in rows.groups.values()) // len(rows) + 4 * len(
                self._tasks
            )
            self._record_batch_rows = int(np.clip(_RECORD_BATCH_BYTES // row_bytes, *_RECORD_BATCH_ROWS))
        self._labelled += (~np.isnan(rows.labels)).sum(axis=0)
        self._positives += (rows.labels > 0.5).sum(axis=0)
        if self._shards == 1:
            self._waiting[0].append(rows)
        else:
            shard = mix(rows.number, self._shuffle_seed) % np.uint64(self._shards)
            for number in range(self._shards):
                self._waiting[number].append(rows.take(shard == number))
        for number in range(self._shards):
            self._flush(number, whole_only=True)

    def close(self) -> tuple[list[RowFile], dict[str, TaskCounts]]:
        """Write what is left; returns the files, and the counts of labels by task."""
        for number in range(self._shards):
            self._flush(number, whole_only=False)
        for number, writer in self._writers.items():
            writer.close()
            self._sinks[number].close()
        files = [
            RowFile(path=_name(number), rows=self._written[number], bytes=sink.bytes, sha256=sink.sha256)
            for number, sink in sorted(self._sinks.items())
        ]
        counts = zip(self._tasks, self._labelled.tolist(), self._positives.tolist(), strict=True)
        return files, {task: TaskCounts(rows=rows, positives=positives) for task, rows, positives in counts}

    @property
    def _shuffle_seed(self) -> int:
        return (self._seed or 0) + 2

    def _flush(self, shard: int, whole_only: bool) -> None:
        waiting = self._waiting[shard]
        available = sum(len(rows) for rows in waiting)
        if not available or (whole_only and available < self._record_batch_rows):
            return
        rows = _concatenate(waiting)
        end = available - available % self._record_batch_rows if whole_only else available
        for first in range(0, end, self._record_batch_rows):
            last = min(first + self._record_batch_rows, end)
            self._write(shard, rows.take(np.arange(first, last)))
        self._waiting[shard] = [rows.take(np.arange(end, available))] if end < available else []

    def _write(self, shard: int, rows: Rows) -> None:
        if self._seed is not None:
            rows = rows.take(np.argsort(mix(rows.number, self._shuffle_seed + 1)))
        batch = _record_batch(rows)
        if shard not in self._writers:
            self._sinks[shard] = DigestSink(self._filesystem, f"{self._folder}/{_name(shard)}")
            self._writers[shard] = pa.ipc.new_file(self._sinks[shard], batch.schema)
        self._writers[shard].write_batch(batch)
        self._written[shard] += len(rows)


def _name(shard: int) -> str:
    return f"part-{shard:05d}.arrow"


def _concatenate(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Rows(
        groups={name: np.concatenate([part.groups[name] for part in parts]) for name in first.groups},
        labels=np.concatenate([part.labels for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        number=np.concatenate([part.number for part in parts]),
        keys={name: pa.concat_arrays([part.keys[name] for part in parts]) for name in first.keys},
        sparse={name: pa.concat_arrays([part.sparse[name] for part in parts]) for name in first.sparse},
    )


def _record_batch(rows: Rows) -> pa.RecordBatch:
    columns = {name: _lists(array) for name, array in rows.groups.items()}
    columns["labels"] = _lists(rows.labels)
    columns["weight"] = pa.array(rows.weight)
    lists = {PREFIX + name: array for name, array in rows.sparse.items()}
    return pa.record_batch(columns | rows.keys | lists)


def _lists(array: NDArray[np.generic]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(array).ravel()), array.shape[1])
