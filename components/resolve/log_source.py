"""Where a log's files are: a folder of daily partitions, or a table partitioned by day."""

from pathlib import Path
from typing import NamedTuple

from pyarrow.fs import FileSystem

from components.common.artifacts.snapshot import TableVersion
from components.common.storage.parquet import open_root
from components.common.storage.tables.listing import list_table
from components.resolve.log_folder import LogFolder
from components.resolve.log_table import LogTable
from components.resolve.window import cut_pattern


class LogSource(NamedTuple):
    """A log, listed.

    Attributes:
        data_root: folder or URI that its files' paths are under; a folder's path is absolute.
        filesystem, root: the data root as opened by Arrow.
        days: its days, oldest first, each with its files.
        has_pattern: the files are those that match a pattern.
        table: the version of the table, if it is one.
    """

    data_root: str
    filesystem: FileSystem
    root: str
    days: LogFolder | LogTable
    has_pattern: bool = False
    table: TableVersion | None = None


def open_log(data_root: str) -> LogSource:
    """List a log: a folder or its URI, a pattern of a folder's files, or a table's address.

    Raises as `LogFolder` and `list_table`.
    """
    address, pattern = cut_pattern(data_root)
    if (listing := list_table(address)) is not None:
        if pattern:
            raise ValueError(f"{data_root}: {address} is a table; give it without a pattern")
        return LogSource(listing.root, *open_root(listing.root), LogTable(listing), table=listing.table)
    filesystem, root = open_root(address)
    days = LogFolder(filesystem, root, address, pattern)
    absolute = address if "://" in address else str(Path(address).resolve())
    return LogSource(absolute, filesystem, root, days, bool(pattern))
