"""Files of histories, by the number of their row in the log: written by one task for each shard of users."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import ipc
from pyarrow.fs import FileSystem, LocalFileSystem

from components.common.storage.digest_sink import DigestSink
from components.common.storage.parquet import open_root
from components.common.storage.retrying import open_input

NUMBER = "number"


class HistoryFile(NamedTuple):
    """A file of histories.

    Attributes:
        name: in its folder.
        firsts: the first row number of each of its record batches, ascending.
    """

    name: str
    firsts: list[int]


def write_histories(folder: str, shard: int, batches: Iterator[pa.RecordBatch]) -> HistoryFile | None:
    """Write record batches with ascending row numbers; None without any."""
    filesystem, path = open_root(folder)
    name, firsts = f"histories-{shard:06d}.arrow", []
    first = next(batches, None)
    if first is None:
        return None
    with (
        DigestSink(filesystem, f"{path}/{name}") as sink,
        ipc.new_file(sink, first.schema) as writer,
    ):
        for batch in itertools.chain([first], batches):
            firsts.append(batch.column(NUMBER)[0].as_py())
            writer.write_batch(batch)
    return HistoryFile(name, firsts)


class Histories(NamedTuple):
    """The histories of all rows.

    Attributes:
        schema: of what is read; a row without a history in any file has empty lists.
    """

    folder: str
    files: list[HistoryFile]
    schema: pa.Schema


class HistoryReader:
    """Reads histories in the order of the log's rows. Memory is bounded by a record batch of each file."""

    def __init__(self, histories: Histories) -> None:
        filesystem, folder = open_root(histories.folder)
        self._files = [
            _OpenFile(filesystem, f"{folder}/{file.name}", file.firsts) for file in histories.files
        ]
        empty: dict[str, list[int]] = {field.name: [] for field in histories.schema}
        self._empty = pa.RecordBatch.from_pylist([empty], schema=histories.schema)

    def read(self, first: int, rows: int) -> dict[str, pa.Array]:
        """The histories of ``rows`` consecutive rows from number ``first`` on, by the names of the schema."""
        pieces = [piece for file in self._files for piece in file.between(first, first + rows)]
        # Entry 0 is the empty history.
        indices, next_entry = np.zeros(rows, dtype=np.int64), 1
        for piece in pieces:
            indices[piece.column(NUMBER).to_numpy() - first] = np.arange(
                next_entry, next_entry + piece.num_rows
            )
            next_entry += piece.num_rows
        return {
            name: pa.concat_arrays(
                [self._empty.column(name), *(piece.column(name) for piece in pieces)]
            ).take(pa.array(indices))
            for name in self._empty.schema.names
        }


class _OpenFile:
    """A file of histories, and the record batch that was read last."""

    def __init__(self, filesystem: FileSystem, path: str, firsts: list[int]) -> None:
        is_local = isinstance(filesystem, LocalFileSystem)
        source = pa.memory_map(path) if is_local else open_input(filesystem, path)
        self._reader = ipc.open_file(source)
        self._firsts = np.array(firsts)
        self._last: tuple[int, pa.RecordBatch] | None = None

    def between(self, first: int, end: int) -> Iterator[pa.RecordBatch]:
        """The rows from number ``first`` to before ``end``."""
        begin = max(int(np.searchsorted(self._firsts, first, side="right")) - 1, 0)
        for number in range(begin, int(np.searchsorted(self._firsts, end))):
            if self._last is None or self._last[0] != number:
                self._last = number, self._reader.get_batch(number)
            batch = self._last[1]
            rows = np.searchsorted(batch.column(NUMBER).to_numpy(), [first, end])
            if rows[0] < rows[1]:
                yield batch.slice(rows[0], rows[1] - rows[0])
