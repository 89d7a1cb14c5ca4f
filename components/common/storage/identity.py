"""Identity of a log's file: its store's version of it, or its SHA-256 where the store keeps none.

resolve freezes size and identity without reading. A file whose store keeps no versions (local, HDFS) is frozen by
size and modification time, and by SHA-256 from the first pass that reads it.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSystem

from components.common.artifacts.snapshot import LogFile
from components.common.storage.retrying import get_file_info, open_input, retrying
from recap_model.config.reading.errors import in_one_line

REQUESTS_AT_ONCE = 32
TABLE = "table:"
"""Before the id of a table, whose files are never rewritten: it is the identity of each of them."""

_TIME = "mtime:"
# By the names that stores and their clients give them. Google's ETag changes with a file's metadata as well, so its
# generation comes first; S3's version id is "null" in a bucket without versions.
_VERSIONS = {"generation": "generation", "etag": "etag", "versionid": "version", "version": "version"}
_TIMES = ("mtime", "lastmodified", "modified", "created")


class FileChangedError(ValueError):
    """A file of the log is not the one that resolve froze."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: changed since resolve froze the log; run the pipeline again")
        self.path = path

    def __reduce__(self) -> tuple[type["FileChangedError"], tuple[str]]:
        return type(self), (self.path,)  # a worker process sends it to its parent


def list_file(filesystem: FileSystem, info: FileInfo) -> LogFile:
    """Snapshot entry of a listed file; its path is that of ``info``. `identify_files` completes it."""
    is_local = filesystem.type_name == "local"
    return LogFile(path=info.path, bytes=info.size, identity=_time(info) if is_local else "")


def identify_files(filesystem: FileSystem, root: str, files: Iterable[LogFile]) -> Iterator[LogFile]:
    """Listed files with their identity, in order; their content is not read.

    A store is asked for its version of each file, many files at a time.

    Raises:
        FileNotFoundError: a file was removed since it was listed.
        ConnectionError: the store stopped answering.
    """

    def complete(file: LogFile) -> LogFile:
        if file.identity:
            return file
        try:
            return file.model_copy(update={"identity": identify(filesystem, f"{root}/{file.path}")})
        except FileNotFoundError:
            raise FileNotFoundError(f"{file.path}: no such file under {root}; run resolve again") from None
        except PermissionError:
            raise PermissionError(f"{file.path}: no permission to read it under {root}") from None
        except OSError as error:
            reason = in_one_line(error)
            raise ConnectionError(
                f"{file.path}: the store stopped answering ({reason}); run it again"
            ) from None

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        yield from pool.map(complete, files)


def identify(filesystem: FileSystem, path: str, opened: pa.NativeFile | None = None) -> str:
    """The store's version of a file; its modification time (``mtime:``) without one, or empty without either.

    Args:
        opened: the file, if it is open: Arrow's clients received its metadata when they opened it.
    """
    if filesystem.type_name == "local":
        return f"{_TIME}{os.stat(path).st_mtime_ns}"
    if filesystem.type_name.startswith("py::fsspec"):
        return _version(retrying(lambda: filesystem.handler.fs.info(path)))
    if opened is None:
        with filesystem.open_input_file(path) as now_open:
            return identify(filesystem, path, now_open)
    metadata = {key: value.decode() for key, value in (opened.metadata() or {}).items()}
    return _version(metadata) or _time(get_file_info(filesystem, path))


def keeps_versions(file: LogFile) -> bool:
    """Whether a file's store vouches for its content, so that it is not hashed."""
    return bool(file.identity) and not file.identity.startswith(_TIME)


def open_unchanged(filesystem: FileSystem, root: str, file: LogFile) -> pa.NativeFile:
    """Open a file of a snapshot for random access, compared at each opening, also after a failed read.

    A file that was hashed may have another modification time, because `hash_content` compares its content.

    Raises what the filesystem raises, and FileChangedError.
    """
    path = f"{root}/{file.path}"

    def check(opened: pa.NativeFile) -> None:
        if opened.size() != file.bytes:
            raise FileChangedError(file.path)
        is_hashed = bool(file.sha256) and not keeps_versions(file)
        if not file.identity or is_hashed or file.identity.startswith(TABLE):
            return
        if identify(filesystem, path, opened) != file.identity:
            raise FileChangedError(file.path)

    return open_input(filesystem, path, check)


def _version(metadata: dict[str, Any]) -> str:
    named = {key.lower().replace("-", "").replace("_", ""): value for key, value in metadata.items()}
    for key, kind in _VERSIONS.items():
        if named.get(key) not in (None, "", "null"):
            return f"{kind}:{named[key]}".replace('"', "")
    time = next((named[key] for key in _TIMES if named.get(key)), None)
    return f"{_TIME}{time}" if time is not None else ""


def _time(info: FileInfo) -> str:
    return "" if info.mtime_ns is None else f"{_TIME}{info.mtime_ns}"
