"""Writes the rows of a set as Arrow IPC files that memory-map, in the log's order or shuffled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyarrow import ipc
from pyarrow.fs import FileSystem

from components.prepare.digest_sink import DigestSink
from components.prepare.rows import Rows, concatenate, to_record_batch
from recap_model.data.dataset.manifest import RowFile, TaskCounts
from recap_model.data.log.id_hashing import seeded_hash

_RECORD_BATCH_BYTES = 32 << 20
_RECORD_BATCH_ROWS = (256, 8192)


@dataclass(frozen=True)
class Written:
    """A file of rows, and of each task the rows with a label and the positives among them."""

    file: RowFile
    labelled: NDArray[np.int64]
    positives: NDArray[np.int64]


class ShardWriter:
    """Rows in, one file out, in record batches that memory holds.

    With a seed, a row's place in its record batch follows from its number and the seed.
    """

    def __init__(self, filesystem: FileSystem, folder: str, shard: int, seed: int | None = None) -> None:
        self._filesystem = filesystem
        self._folder = folder
        self._name = f"part-{shard:05d}.arrow"
        self._seed = seed
        self._waiting: list[Rows] = []
        self._sink: DigestSink | None = None
        self._writer: ipc.RecordBatchFileWriter | None = None
        self._rows = 0
        self._record_batch_rows = 0
        self._labelled: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._positives = self._labelled

    def add(self, rows: Rows) -> None:
        """Take rows; those that fill a record batch are written."""
        if not len(rows):
            return
        if not self._record_batch_rows:
            tasks = rows.labels.shape[1]
            row_bytes = sum(array.nbytes for array in rows.groups.values()) // len(rows) + 4 * tasks
            self._record_batch_rows = int(np.clip(_RECORD_BATCH_BYTES // row_bytes, *_RECORD_BATCH_ROWS))
            self._labelled, self._positives = np.zeros((2, tasks), dtype=np.int64)
        self._labelled += (~np.isnan(rows.labels)).sum(axis=0)
        self._positives += (rows.labels > 0.5).sum(axis=0)
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= self._record_batch_rows:
            self._flush(whole_only=True)

    def close(self) -> Written | None:
        """Write what is left; None if there never was a row."""
        if self._waiting:
            self._flush(whole_only=False)
        if self._writer is None or self._sink is None:
            return None
        self._writer.close()
        self._sink.close()
        described = RowFile(
            path=self._name, rows=self._rows, bytes=self._sink.bytes, sha256=self._sink.sha256
        )
        return Written(described, self._labelled, self._positives)

    def _flush(self, whole_only: bool) -> None:
        rows = concatenate(self._waiting)
        end = len(rows) - len(rows) % self._record_batch_rows if whole_only else len(rows)
        for first in range(0, end, self._record_batch_rows):
            self._write(rows.take(np.arange(first, min(first + self._record_batch_rows, end))))
        self._waiting = [rows.take(np.arange(end, len(rows)))] if end < len(rows) else []

    def _write(self, rows: Rows) -> None:
        if self._seed is not None:
            rows = rows.take(np.argsort(seeded_hash(rows.number, _order_seed(self._seed))))
        batch = to_record_batch(rows)
        if self._writer is None:
            self._sink = DigestSink(self._filesystem, f"{self._folder}/{self._name}")
            self._writer = ipc.new_file(self._sink, batch.schema)
        self._writer.write_batch(batch)
        self._rows += len(rows)


def by_shard(rows: Rows, shards: int, seed: int) -> list[Rows]:
    """Rows by the file that they belong to, which follows from their number and the seed."""
    if shards == 1:
        return [rows]
    shard = seeded_hash(rows.number, _shard_seed(seed)) % np.uint64(shards)
    return [rows.take(shard == number) for number in range(shards)]


def counts(tasks: list[str], files: list[Written]) -> dict[str, TaskCounts]:
    """Rows with a label, and positives, of each task over all files."""
    totals = [
        sum((getattr(file, name) for file in files), np.zeros(len(tasks), dtype=np.int64)).tolist()
        for name in ("labelled", "positives")
    ]
    return {
        task: TaskCounts(rows=labelled, positives=positives)
        for task, labelled, positives in zip(tasks, *totals, strict=True)
    }


def _shard_seed(seed: int) -> int:
    return seed + 2


def _order_seed(seed: int) -> int:
    return seed + 3
