"""Write a set's rows as memory-mappable Arrow IPC files, in the log's order or shuffled."""

import hashlib
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from pyarrow import ipc
from pyarrow.fs import FileSystem

from components.prepare.rows import Rows, concatenate, to_record_batch
from recap_model.data.dataset.manifest import RowFile, TaskCounts
from recap_model.data.log.id_hashing import seeded_hash

_RECORD_BATCH_BYTES = 32 << 20
_RECORD_BATCH_ROWS = (256, 8192)


class DigestSink:
    """An output file for Arrow's writers that counts its bytes and computes their SHA-256.

    Args:
        path: on the filesystem, in an existing folder.
    """

    def __init__(self, filesystem: FileSystem, path: str) -> None:
        self._stream = filesystem.open_output_stream(path)
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far."""
        return self._digest.hexdigest()

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return bool(self._stream.closed)

    def write(self, data: bytes) -> int:
        """Write bytes; returns their number."""
        self._digest.update(data)
        self._stream.write(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: an object store shows a file only when it is closed."""

    def close(self) -> None:
        """Close the file, which makes it visible in an object store."""
        self._stream.close()

    def __enter__(self) -> "DigestSink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Written:
    """A file of rows, with each task's number of labelled rows and of positives."""

    file: RowFile
    labelled: NDArray[np.int64]
    positives: NDArray[np.int64]


class ShardWriter:
    """Writes rows to one file, in record batches of bounded size.

    With a seed, the rows of a record batch are shuffled by their numbers and the seed.
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
        """Buffer rows, and write complete record batches."""
        if not len(rows):
            return
        if not self._record_batch_rows:
            tasks = rows.labels.shape[1]
            columns = (*rows.groups.values(), *rows.sequences.values())
            row_bytes = sum(array.nbytes for array in columns) // len(rows) + 4 * tasks
            self._record_batch_rows = int(np.clip(_RECORD_BATCH_BYTES // row_bytes, *_RECORD_BATCH_ROWS))
            self._labelled, self._positives = np.zeros((2, tasks), dtype=np.int64)
        self._labelled += (~np.isnan(rows.labels)).sum(axis=0)
        self._positives += (rows.labels > 0.5).sum(axis=0)
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= self._record_batch_rows:
            self._flush(complete_only=True)

    def close(self) -> Written | None:
        """Write the remaining rows; None if there were no rows."""
        if self._waiting:
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
    """Split rows by shard, a function of their number and the seed."""
    if shards == 1:
        return [rows]
    shard = seeded_hash(rows.number, _shard_seed(seed)) % np.uint64(shards)
    return [rows.take(shard == number) for number in range(shards)]


def counts(tasks: list[str], files: list[Written]) -> dict[str, TaskCounts]:
    """Each task's number of labelled rows and of positives over all files."""
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
