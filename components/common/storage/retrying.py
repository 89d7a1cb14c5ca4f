"""Filesystem reads with retries for transient errors."""

import io
import os
import stat
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem

_PAUSES_S = (0.2, 0.8, 3.2)
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

# Their clients retry by themselves; retrying on top would take a minute for an unreachable store.
_RETRYING_CLIENTS = ("local", "s3", "gcs")

T = TypeVar("T")


def retrying(call: Callable[[], T]) -> T:
    """Call until it succeeds; a transient OSError is raised only after the last attempt.

    Pauses grow fourfold (exponential backoff), to relieve an overloaded store.
    """
    for pause_s in _PAUSES_S:
        try:
            return call()
        except _LASTING:
            raise
        except OSError:
            time.sleep(pause_s)
    return call()


def get_file_info(filesystem: FileSystem, what: str | list[str] | FileSelector) -> Any:
    """`FileSystem.get_file_info`, with retries where the filesystem's own client has none.

    Raises ValueError for a file whose name is not UTF-8.
    """
    if filesystem.type_name in _RETRYING_CLIENTS:
        answer = filesystem.get_file_info(what)
    else:
        answer = retrying(lambda: filesystem.get_file_info(what))
    for info in answer if isinstance(answer, list) else ():
        try:
            _ = info.path
        except UnicodeDecodeError as error:
            raise ValueError(f"the file {error.object!r}: its name is not UTF-8; rename it") from None
    return answer


def open_input(
    filesystem: FileSystem, path: str, check: Callable[[pa.NativeFile], None] | None = None
) -> pa.NativeFile:
    """Open a file for random access.

    Args:
        check: called with the file each time it is opened, also again after a failed read; raises to refuse it.

    Raises what the filesystem raises (FileNotFoundError, OSError); OSError for a pipe or a device, which has no end.
    """
    if filesystem.type_name == "local" and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path} is not a regular file")

    def open_once() -> pa.NativeFile:
        opened = filesystem.open_input_file(path)
        if check is not None:
            check(opened)
        return opened

    if filesystem.type_name == "local":
        return open_once()
    return pa.PythonFile(_RetryingFile(open_once), mode="r")


class _RetryingFile(io.RawIOBase):
    """A remote file, reopened at the same offset when a read fails."""

    def __init__(self, open_once: Callable[[], pa.NativeFile]) -> None:
        super().__init__()
        self._open = open_once
        self._file: pa.NativeFile | None = retrying(self._open)
        self._bytes: int = self._file.size()
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._bytes}[whence]
        self._place = start + offset
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._bytes - self._place if size is None or size < 0 else size
        content = retrying(lambda: self._read_once(wanted))
        self._place += len(content)
        return content

    def _read_once(self, size: int) -> bytes:
        if self._file is None:
            self._file = self._open()
        try:
            return bytes(self._file.read_at(size, self._place))
        except OSError:
            self._file = None
            raise

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()
