"""Scratch files: rows that one exchange leaves for later work, on storage that all of an engine's processes share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa
from pyarrow import ipc
from pyarrow.fs import FileType

from components.common.storage.digest_sink import DigestSink
from components.common.storage.parquet import open_root
from components.common.storage.retrying import open_input


class ScratchFile(NamedTuple):
    """A file of rows: the folder (a path, or a URI of a store), and its name in it."""

    folder: str
    name: str


class ScratchWriter:
    """A sink that writes the rows of a shard to a scratch file, and returns its `ScratchFile`.

    Use ``functools.partial(ScratchWriter, folder, label)`` as the sink of an exchange.

    Args:
        folder: of `scratch_folder`.
        label: begins the files' names; another one for each exchange.
    """

    def __init__(self, folder: str, label: str, shard: int) -> None:
        self._file = ScratchFile(folder, f"{label}-{shard:06d}.arrows")
        self._sink: DigestSink | None = None
        self._stream: ipc.RecordBatchStreamWriter | None = None

    def write(self, rows: pa.RecordBatch) -> None:
        """Append rows."""
        if self._stream is None:
            filesystem, folder = open_root(self._file.folder)
            self._sink = DigestSink(filesystem, f"{folder}/{self._file.name}")
            self._stream = ipc.new_stream(self._sink, rows.schema)
        self._stream.write_batch(rows)

    def close(self) -> ScratchFile | None:
        """Complete the file; None if there were no rows."""
        if self._stream is None or self._sink is None:
            return None
        self._stream.close()
        self._sink.close()
        return self._file


def read_scratch(file: ScratchFile) -> Iterator[pa.RecordBatch]:
    """The rows of a scratch file, in their order."""
    filesystem, folder = open_root(file.folder)
    with open_input(filesystem, f"{folder}/{file.name}") as stream, ipc.open_stream(stream) as batches:
        yield from batches


@contextmanager
def scratch_folder(root: str) -> Iterator[str]:
    """A folder for scratch files under ``root`` (a path, or a URI of a store), removed at the end."""
    folder = f"{root}/_scratch"
    filesystem, path = open_root(folder)
    filesystem.create_dir(path)
    try:
        yield folder
    finally:
        if filesystem.get_file_info(path).type == FileType.Directory:
            filesystem.delete_dir(path)
