"""Write a set's rows as memory-mappable Arrow IPC files, in the log's order or shuffled."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc
from pyarrow.fs import FileSystem

from components.common.storage.digest_sink import DigestSink
from components.prepare.rows import Rows, concatenate, from_record_batch, to_record_batch
from recap_model.data.dataset.manifest import RowFile, TaskCounts
from recap_model.data.log.id_hashing import seeded_hash

_RECORD_BATCH_BYTES = 32 << 20
_RECORD_BATCH_ROWS = (256, 8192)


@dataclass(frozen=True)
class Written:
    """A file of rows, with each task's number of labelled rows and of positives."""

    file: RowFile
    labelled: NDArray[np.int64]
    positives: NDArray[np.int64]


class ShardWriter:
    """A sink that writes rows to one file, in record batches of bounded size.

    With a seed, the rows of a record batch are shuffled by their numbers and the seed.
    """

    def __init__(self, filesystem: FileSystem, folder: str, shard: int, seed: int | None = None) -> None:
        self._filesystem = filesystem
        self._folder = folder
        self._name = f"part-{shard:05d}.arrow"
        self._seed = seed
        self._waiting: list[Rows] = []
        self._waiting_rows = 0
        self._sink: DigestSink | None = None
        self._writer: ipc.RecordBatchFileWriter | None = None
        self._rows = 0
        self._record_batch_rows = 0
        self._labelled: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._positives = self._labelled

    def write(self, rows: pa.RecordBatch) -> None:
        """Add rows of `to_record_batch`, numbered."""
        self.add(from_record_batch(rows))

    def add(self, rows: Rows) -> None:
        """Buffer rows, and write complete record batches."""
        if not len(rows):
            return
        self._waiting.append(rows)
        self._waiting_rows += len(rows)
        if not self._record_batch_rows and self._waiting_rows >= _RECORD_BATCH_ROWS[0]:
            self._record_batch_rows = _record_batch_rows(self._waiting)
        if self._record_batch_rows and self._waiting_rows >= self._record_batch_rows:
            self._flush(complete_only=True)

    def close(self) -> Written | None:
        """Write the remaining rows; None if there were no rows."""
        if self._waiting:
            self._record_batch_rows = self._record_batch_rows or _RECORD_BATCH_ROWS[0]
            self._flush(complete_only=False)
        if self._writer is None or self._sink is None:
            return None
        self._writer.close()
        self._sink.close()
        described = RowFile(
            path=self._name, rows=self._rows, bytes=self._sink.bytes, sha256=self._sink.sha256
        )
        return Written(described, self._labelled, self._positives)

    def _flush(self, complete_only: bool) -> None:
        rows = concatenate(self._waiting)
        end = len(rows) - len(rows) % self._record_batch_rows if complete_only else len(rows)
        for first in range(0, end, self._record_batch_rows):
            self._write(rows.take(np.arange(first, min(first + self._record_batch_rows, end))))
        self._waiting = [rows.take(np.arange(end, len(rows)))] if end < len(rows) else []
        self._waiting_rows = len(rows) - end

    def _write(self, rows: Rows) -> None:
        if self._seed is not None:
            rows = rows.take(np.argsort(seeded_hash(rows.number, _order_seed(self._seed))))
        batch = to_record_batch(rows)
        labelled, positives = (~np.isnan(rows.labels)).sum(axis=0), (rows.labels > 0.0).sum(axis=0)
        if self._writer is None:
            self._labelled, self._positives = np.zeros((2, len(labelled)), dtype=np.int64)
            self._sink = DigestSink(self._filesystem, f"{self._folder}/{self._name}")
            self._writer = ipc.new_file(self._sink, batch.schema)
        self._writer.write_batch(batch)
        self._labelled += labelled
        self._positives += positives
        self._rows += len(rows)


def _record_batch_rows(waiting: list[Rows]) -> int:
    """Rows of a record batch, by the bytes of the first rows: the same ones however the rows come in batches."""
    rows = concatenate(waiting).take(np.arange(_RECORD_BATCH_ROWS[0]))
    dense = sum(array.nbytes for array in (*rows.groups.values(), rows.labels))
    events = sum(
        len(array.flatten()) * array.type.value_type.bit_width // 8 for array in rows.sequences.values()
    )
    row_bytes = (dense + events) // len(rows)
    return int(np.clip(_RECORD_BATCH_BYTES // row_bytes, *_RECORD_BATCH_ROWS))


def counts(tasks: list[str], files: Iterable[Written]) -> dict[str, TaskCounts]:
    """Each task's number of labelled rows and of positives over all files."""
    totals = [
        sum((getattr(file, name) for file in files), np.zeros(len(tasks), dtype=np.int64)).tolist()
        for name in ("labelled", "positives")
    ]
    return {
        task: TaskCounts(rows=labelled, positives=positives)
        for task, labelled, positives in zip(tasks, *totals, strict=True)
    }


def _order_seed(seed: int) -> int:
    return seed + 3
