"""The current version of a Delta or Iceberg table: its columns, and its data files by day.

A table is a log if it is partitioned by day: by a column named ``date``, else by its only partition column that is a
date (Iceberg: or the day or hour of a time). A partition column named ``hour`` divides the days.
"""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyarrow.fs import FileSystem, FileType

from components.common.artifacts.snapshot import TableVersion
from components.common.storage.log_files import ListedFile
from components.common.storage.parquet import open_root
from components.common.storage.retrying import get_file_info

ICEBERG_SCHEME = "iceberg://"
_DELTA_LOG = "_delta_log"
DAY_COLUMN, HOUR_COLUMN = "date", "hour"
_EARLIER_VERSION = re.compile(
    r"@v\d+/?$|[?&](version|versionasof|timestampasof|snapshot[-_]?id|branch|tag)=", re.IGNORECASE
)


@dataclass(frozen=True)
class TableListing:
    """Data files of one version of a table.

    Attributes:
        root: folder or URI that the files' paths are under.
        files: in order of days, and of their paths.
        refused: by path, why a file cannot be read as it is: it has deleted rows that only its table knows.
        without_day: number of files whose rows have no date.
    """

    root: str
    table: TableVersion
    files: list[ListedFile]
    refused: Mapping[str, str] = field(default_factory=dict)
    without_day: int = 0

    def check_readable(self, listed: ListedFile) -> ListedFile:
        """The file. Raises ValueError if it cannot be read."""
        if listed.file.path in self.refused:
            raise ValueError(self.refused[listed.file.path])
        return listed


def list_table(address: str) -> TableListing | None:
    """The current version of the table at an address; None if there is no table.

    Args:
        address: ``iceberg://CATALOG/NAMESPACE.TABLE``, or the folder or URI of a Delta table.

    Raises:
        FileNotFoundError: there is no such table.
        ConnectionError: its catalog or store does not answer.
        ValueError: the catalog is not configured, the table is not partitioned by day, or needs a feature that is not
            supported, or the address names a version.
        ModuleNotFoundError: the extra ``tables`` is not installed.
    """
    if _EARLIER_VERSION.search(address):
        raise ValueError(
            f"{address}: names a version of a table, and a log is read at its table's current version; give the "
            "address alone, or restore the table to that version"
        )
    if address.startswith(ICEBERG_SCHEME):
        _check_installed("pyiceberg", address)
        from components.common.storage.tables.iceberg import list_iceberg

        return list_iceberg(address)
    if not is_delta(*open_root(address)):
        return None
    _check_installed("deltalake", address)
    from components.common.storage.tables.delta import list_delta

    return list_delta(address)


def is_delta(filesystem: FileSystem, root: str) -> bool:
    """Whether a folder is a Delta table. An unreachable store is none: who lists it reports it."""
    try:
        return bool(get_file_info(filesystem, f"{root}/{_DELTA_LOG}").type == FileType.Directory)
    except OSError:
        return False


def _check_installed(package: str, address: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(
            f"{address}: is a table, which {package} reads and which is not installed; install recap[tables]"
        )


def log_order(listed: ListedFile) -> tuple[str, str]:
    """Key of the order of a log's files: by day and hour, then by path."""
    return listed.partition, listed.file.path


def partition_name(day: date, hour: int | None) -> str:
    """Name of a log's partition.

    >>> partition_name(date(2026, 3, 1), 7)
    'date=2026-03-01/hour=07'
    """
    return f"date={day}" if hour is None else f"date={day}/hour={hour:02d}"


def constant(value: Any, where: str) -> str | None:
    """A partition value as text, from which it is cast to its column's type. Raises ValueError if it is not text."""
    if not isinstance(value, bytes):
        return None if value is None else str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError(
            f"{where}: partition value {value!r} is not UTF-8; partition by text or numbers"
        ) from None


def parse_day(value: Any, where: str) -> date:
    """The day of a partition value. Raises ValueError if it is no date."""
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(
            f"{where}: partition value {value!r} is not a date; write dates, or text as YYYY-MM-DD"
        ) from None


def parse_hour(value: Any, where: str) -> int:
    """The hour of a partition value. Raises ValueError if it is none."""
    if str(value).isdecimal() and int(value) < 24:
        return int(value)
    raise ValueError(f"{where}: partition value {value!r} is not an hour; write 0 to 23")


def refuse_partitioning(address: str, by: str) -> ValueError:
    """The error of a table that is not partitioned by day."""
    return ValueError(
        f"{address}: is not partitioned by day (but by {by or 'nothing'}); partition it by a column {DAY_COLUMN!r}, "
        "by one other column of dates, or in Iceberg by the day or hour of one time column"
    )
