"""Record batches of a dataset's files, by number: memory-mapped if local, else fetched one at a time."""

import hashlib
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from pyarrow.fs import FileSystem

from recap_model.config.reading.errors import in_one_line
from recap_model.data.dataset.manifest import DatasetManifest, RowFile

_DIGEST_CHUNK_BYTES = 1 << 20
_MAX_OPEN_FILES = 128
_REQUESTS_AT_ONCE = 16


class RecordBatches:
    """All record batches of a dataset, in the order of its files.

    A dataset may have more files than a process may hold open: the last 128 that were read are open. Several threads
    may read at once.

    Attributes:
        lengths: rows of each.

    Raises:
        FileNotFoundError: one of the files is not there.
        ValueError: a file is not the one in the manifest; the message names it.
    """

    def __init__(self, manifest: DatasetManifest):
        self._root = manifest.rows_root
        self._described = manifest.files
        self._opening = threading.Lock()
        self._open: OrderedDict[int, pa.ipc.RecordBatchFileReader] = OrderedDict()
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            lengths = list(pool.map(self._read_lengths, range(len(self._described))))
        self._positions = [
            (file, number) for file, found in enumerate(lengths) for number in range(len(found))
        ]
        self.lengths = np.array([rows for found in lengths for rows in found], dtype=np.int64)

    def __getitem__(self, number: int) -> pa.RecordBatch:
        file, position = self._positions[number]
        with _readable(self._where(file)):
            return self._reader(file).get_batch(position)

    def check(self, numbers: set[int]) -> None:
        """Raise ValueError if a file of these record batches has been cut off since it was mapped into memory.

        Reading what is no longer there would end the process by a signal, without a word.
        """
        if "://" in self._root:
            return
        for file in {self._positions[number][0] for number in numbers}:
            with _readable(self._where(file)):
                size = os.stat(self._where(file)).st_size
            _check_size(self._where(file), size, self._described[file])

    def verify(self) -> None:
        """Compare every file's content with the manifest, by a thread for each core.

        Raises ValueError naming the first that differs.
        """
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for number, digest in enumerate(pool.map(self._digest, self._described)):
                if digest != self._described[number].sha256:
                    raise ValueError(
                        f"{self._where(number)}: changed since prepare wrote it; run prepare again"
                    )

    def _digest(self, file: RowFile) -> str:
        digest = hashlib.sha256()
        with _source(self._root, file.path) as stream:
            while chunk := stream.read(_DIGEST_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def _reader(self, file: int) -> pa.ipc.RecordBatchFileReader:
        with self._opening:
            if file in self._open:
                self._open.move_to_end(file)
                return self._open[file]
        reader = _open(self._root, self._described[file])
        with self._opening:
            self._open[file] = reader
            if len(self._open) > _MAX_OPEN_FILES:
                self._open.popitem(last=False)
        return reader

    def _where(self, file: int) -> str:
        return f"{self._root}/{self._described[file].path}"

    def _read_lengths(self, file: int) -> list[int]:
        """Rows of each record batch of a file, which stays open if it is among the first."""
        described = self._described[file]
        reader = _open(self._root, described)
        # By one narrow column: a whole record batch would be fetched, or its pages asked for, to be counted.
        with _readable(self._where(file)):
            options = pa.ipc.IpcReadOptions(included_fields=[reader.schema.names.index("weight")])
            narrow = pa.ipc.open_file(_source(self._root, described.path), options=options)
            lengths = [narrow.get_batch(number).num_rows for number in range(narrow.num_record_batches)]
        if file < _MAX_OPEN_FILES:
            self._open[file] = reader
        return lengths


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ValueError(f"{where}: cannot be read ({in_one_line(error)}); run prepare again") from None


def _source(root: str, path: str) -> pa.NativeFile:
    if "://" not in root:
        if not stat.S_ISREG(os.stat(f"{root}/{path}").st_mode):
            raise OSError("not a regular file")
        return pa.memory_map(f"{root}/{path}")
    filesystem, base = FileSystem.from_uri(root)
    return filesystem.open_input_file(f"{base}/{path}")


def _open(root: str, file: RowFile) -> pa.ipc.RecordBatchFileReader:
    where = f"{root}/{file.path}"
    try:
        source = _source(root, file.path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{where}: the dataset's rows are not there; run prepare again") from None
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{where}: cannot be read ({error}); run prepare again") from None
    _check_size(where, source.size(), file)
    try:
        return pa.ipc.open_file(source)
    except pa.ArrowException as error:
        raise ValueError(f"{where}: not Arrow IPC ({error}); run prepare again") from None


def _check_size(where: str, size: int, file: RowFile) -> None:
    if size != file.bytes:
        raise ValueError(f"{where}: has {size} bytes, the manifest says {file.bytes}; run prepare again")
