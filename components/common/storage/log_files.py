"""Selection of a log folder's files: each file that is not hidden is read, refused, or reported as not read."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from components.common.artifacts.snapshot import LogFile
from components.common.storage.retrying import get_file_info, open_input
from recap_model.config.reading.errors import printable

_PARQUET_ENDINGS = ("parquet", "parq", "pq")
_PARQUET_MAGIC = b"PAR1"
# Checksums, documentation and files that are still being written: they hold no rows and are reported as not read.
_ENDINGS_WITHOUT_ROWS = (
    *("crc", "md5", "sha1", "sha256", "txt", "md", "log", "html", "sql", "yaml", "yml"),
    *("tmp", "temp", "partial", "inprogress", "_copying_"),
)
_TABLES = {"_delta_log": "Delta", ".hoodie": "Hudi", "metadata": "Iceberg"}
_ADVICE = {
    "_delta_log": "give the table's own folder",
    ".hoodie": "Hudi is not read: write the current rows as Parquet in date=YYYY-MM-DD/, and give that folder",
    "metadata": "name it by its catalog: iceberg://CATALOG/NAMESPACE.TABLE",
}
_ICEBERG_ENDINGS = (".metadata.json", "version-hint.text")


class ListedFile(NamedTuple):
    """A file of a log, in its partition ``date=YYYY-MM-DD[/hour=HH]``."""

    partition: str
    file: LogFile


class Chosen(NamedTuple):
    """A folder's Parquet files, and the paths of its files without rows, both in order."""

    files: list[FileInfo]
    not_read: list[str]


def is_hidden(path: str) -> bool:
    """Whether a path is excluded from a log: a name in it starts with "_" or ".", or marks an S3 folder."""
    return any(name.startswith(("_", ".")) or name.endswith("_$folder$") for name in path.split("/"))


def shorten(names: list[str], most: int) -> str:
    """The first of some names, and how many more there are.

    >>> shorten(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def list_folder(filesystem: FileSystem, folder: str, recursive: bool = True) -> list[FileInfo]:
    """List a folder's entries that are not hidden, by their relative paths, sorted.

    A broken link, which Arrow omits from its listings, has type NotFound.

    Raises:
        OSError: the folder cannot be listed.
        ValueError: a name is not UTF-8, a link points to a parent folder, or the folder contains a table.
    """
    if filesystem.type_name == "local":
        entries = list(_walk(folder, "", recursive, ()))
    else:
        entries = [
            FileInfo(
                info.path.removeprefix(folder).lstrip("/"), info.type, mtime_ns=info.mtime_ns, size=info.size
            )
            for info in get_file_info(filesystem, FileSelector(folder, recursive=recursive))
        ]
    for info in entries:
        for name in info.path.split("/"):
            if name.startswith(("_", ".")) and name in _TABLES:
                _refuse_table(f"{folder}/{info.path}", name)
    return sorted((info for info in entries if not is_hidden(info.path)), key=lambda info: info.path)


def _walk(root: str, inside: str, recursive: bool, above: tuple[tuple[int, int], ...]) -> Iterator[FileInfo]:
    folder = os.path.join(root, inside)
    here = os.stat(folder)
    above = (*above, (here.st_dev, here.st_ino))
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            try:
                path.encode()
            except UnicodeEncodeError:
                name = os.fsencode(entry.path)
                raise ValueError(f"the file {name!r}: its name is not UTF-8; rename it") from None
            try:
                status = entry.stat()
            except OSError:
                yield FileInfo(path, FileType.NotFound)
                continue
            yield FileInfo(path, _type_of(status.st_mode), mtime_ns=status.st_mtime_ns, size=status.st_size)
            if recursive and stat.S_ISDIR(status.st_mode) and not is_hidden(entry.name):
                if (status.st_dev, status.st_ino) in above:
                    raise ValueError(f"{entry.path!r}: a link to a folder above it; remove it")
                yield from _walk(root, path, recursive, above)


def _type_of(mode: int) -> FileType:
    if stat.S_ISREG(mode):
        return FileType.File
    return FileType.Directory if stat.S_ISDIR(mode) else FileType.Unknown


def choose_files(
    filesystem: FileSystem,
    root: str,
    listed: Iterable[FileInfo],
    check_place: Callable[[str], None] = lambda path: None,
) -> Chosen:
    """The Parquet files among some paths under ``root``.

    A file is Parquet by its ending (``.parquet``, ``.parq``, ``.pq``) or, with another or none, by its first bytes.

    Args:
        check_place: raises ValueError if a file with rows is not allowed at this path.

    Raises:
        ValueError: a file may hold rows and is not Parquet, or is a pipe, a device, or a broken link; or a day has
            both files and ``hour=HH`` folders, whose rows would be read twice.
        OSError: a file cannot be read.
    """
    chosen = Chosen([], [])
    for info in listed:
        ending = info.path.rpartition("/")[2].rpartition(".")[2].lower()
        if info.type == FileType.NotFound:
            raise ValueError(f"{info.path!r}: a link to nothing; restore what it leads to, or remove it")
        if info.type == FileType.Directory:
            continue
        if info.type != FileType.File:
            raise ValueError(f"{info.path!r}: a pipe or device, where a log has Parquet files; remove it")
        if ending in _ENDINGS_WITHOUT_ROWS:
            chosen.not_read.append(info.path)
            continue
        check_place(info.path)
        if ending in _PARQUET_ENDINGS or _begins_as_parquet(filesystem, f"{root}/{info.path}"):
            chosen.files.append(info)
        elif not info.size:
            chosen.not_read.append(info.path)
        else:
            raise ValueError(
                f"{info.path!r}: not Parquet; write it as Parquet, move it, or begin its name with _ to leave it out"
            )
    _check_hours([info.path for info in chosen.files])
    return chosen


def _begins_as_parquet(filesystem: FileSystem, path: str) -> bool:
    with open_input(filesystem, path) as stream:
        return bool(stream.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC)


def _check_hours(paths: list[str]) -> None:
    """Raise ValueError for a day that has both files and ``hour=HH`` folders with files."""
    folders = {path.rpartition("/")[0]: path for path in paths}
    for folder, path in folders.items():
        day, _, hour = folder.rpartition("/")
        if hour.startswith("hour=") and day in folders:
            raise ValueError(
                f"{folders[day]!r}: lies beside {hour}/ of the same day, so rows would be read twice; keep the day's "
                f"files or its hours, and remove the others ({path!r})"
            )


def check_no_table(filesystem: FileSystem, folder: str) -> None:
    """Raise ValueError if a folder is a table or inside one: not all of a table's files hold current rows."""
    while folder:
        marks = [f"{folder}/{name}" for name in _TABLES]
        for mark, info in zip(marks, get_file_info(filesystem, marks), strict=True):
            name = mark.rpartition("/")[2]
            if info.type == FileType.Directory and (name != "metadata" or _is_icebergs(filesystem, mark)):
                _refuse_table(mark, name)
        parent, _, name = folder.rpartition("/")
        if "=" not in name and name != "data":
            return
        folder = parent


def _is_icebergs(filesystem: FileSystem, folder: str) -> bool:
    return any(
        info.path.endswith(_ICEBERG_ENDINGS) for info in get_file_info(filesystem, FileSelector(folder))
    )


def _refuse_table(mark: str, name: str) -> None:
    raise ValueError(
        f"{mark.partition(f'/{name}')[0]}: is a table ({_TABLES[name]}: {name}/), not all of whose files hold "
        f"current rows; {_ADVICE[name]}"
    )
