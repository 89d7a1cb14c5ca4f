"""The serving log's files in a snapshot."""

import re
from datetime import date
from fnmatch import fnmatchcase

from pyarrow.fs import FileSystem, FileType

from components.common.artifacts.snapshot import LogFile, ServingLog
from components.common.storage.identity import identify_files, list_file
from components.common.storage.log_files import check_no_table, choose_files, list_folder
from components.common.storage.parquet import open_root
from components.common.storage.retrying import get_file_info
from components.common.storage.tables.listing import TableListing, list_table
from components.resolve.window import Window, cut_pattern
from recap_model.config.reading.errors import in_one_line

_DAY = re.compile(r"date=(\d{4}-\d{2}-\d{2})")


def freeze_serving_log(pattern: str, window: Window) -> ServingLog:
    """The files that match a pattern; for files in folders ``date=YYYY-MM-DD``, those in the window.

    A failure does not end the run, because training does not read the serving log; validate shows the reason.
    """
    address, parts = cut_pattern(pattern)
    try:
        if (listing := list_table(address)) is not None:
            return _freeze_table(pattern, listing, window)
        filesystem, root = open_root(address)
        files = [file for file in _files(filesystem, root, parts) if _is_within(file.path, window)]
        if not files:
            return ServingLog(root=address, missing=f"{pattern}: no file of the window matches")
        return ServingLog(root=address, files=list(identify_files(filesystem, root, files)))
    except (OSError, ValueError, ModuleNotFoundError) as error:
        reason = in_one_line(error)
        return ServingLog(root=address, missing=f"{pattern}: cannot be read ({reason})")


def _freeze_table(pattern: str, listing: TableListing, window: Window) -> ServingLog:
    files = [listed for listed in listing.files if _is_within(listed.partition, window)]
    if not files:
        return ServingLog(root=listing.root, missing=f"{pattern}: the table has no file of the window")
    frozen = [listing.check_readable(listed).file for listed in files]
    return ServingLog(root=listing.root, table=listing.table, files=frozen)


def _files(filesystem: FileSystem, root: str, parts: list[str]) -> list[LogFile]:
    if not parts and get_file_info(filesystem, root).type == FileType.File:
        raise ValueError("is a file; give a pattern with a wildcard, as serving/date=*/*.parquet")
    check_no_table(filesystem, root)
    matching = [info for info in list_folder(filesystem, root) if not parts or _fits(info.path, parts)]
    return [list_file(filesystem, info) for info in choose_files(filesystem, root, matching).files]


def _fits(path: str, parts: list[str]) -> bool:
    inside = path.split("/")
    return len(inside) == len(parts) and all(map(fnmatchcase, inside, parts))


def _is_within(path: str, window: Window) -> bool:
    matched = _DAY.search(path)
    return matched is None or window.first <= date.fromisoformat(matched[1]) <= window.last
