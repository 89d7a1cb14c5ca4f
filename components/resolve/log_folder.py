"""A log's folder: its days, and their files."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from fnmatch import fnmatchcase

from pyarrow.fs import FileInfo, FileSystem, FileType

from components.common.storage.identity import list_file
from components.common.storage.log_files import ListedFile, check_no_table, choose_files, list_folder
from components.common.storage.retrying import get_file_info
from components.resolve.window import HOUR, Window
from recap_model.config.reading.errors import in_one_line

_DAY = re.compile(r"^date=(\d{4}-\d{2}-\d{2})$", re.ASCII)
_ANY_DAY = re.compile(r"(?<!\d)(\d{4})([-_.]?)(\d{2})\2(\d{2})(?!\d)", re.ASCII)
_NO_DAY = "date=__HIVE_DEFAULT_PARTITION__"  # Hive's and Spark's, of rows without a date


class LogFolder(Mapping[date, list[ListedFile]]):
    """The days of a log, oldest first, each with its Parquet files, by their paths under the root, in order.

    A day's files are listed on first access. Hidden names (``_…``, ``.…``) are excluded from a log; every other entry
    beside the days or in an accessed day is read, refused, or listed in ``not_read``.

    Args:
        pattern: one for each component of the files' paths; other paths are excluded from the log.

    Attributes:
        data_root: as the user gave it, for errors.
        not_read: names of skipped files and folders, beside the days and in the accessed days.

    Raises:
        FileNotFoundError: there is no folder at ``data_root``.
        ConnectionError: its store does not answer, or refuses.
        ValueError: it is a table, has no partition, or has one whose name is not a date; on access of a day, it has a
            file that would be skipped or read twice silently.
    """

    def __init__(
        self, filesystem: FileSystem, root: str, data_root: str, pattern: list[str] | None = None
    ) -> None:
        self.data_root, self.not_read = data_root, list[str]()
        self._filesystem, self._root, self._pattern = filesystem, root, pattern or []
        self._listed: dict[date, list[ListedFile]] = {}
        self._check_is_there()
        check_no_table(filesystem, root)
        folders: dict[date, str] = {}
        self._stray: dict[str, date | None] = {}
        for info in list_folder(filesystem, root, recursive=False):
            if info.type == FileType.Directory and info.path.startswith("date=") and info.path != _NO_DAY:
                folders[self._day_of(info.path)] = info.path
            elif not self._pattern:
                self._stray[info.path] = _day_in(info.path)
        if not folders:
            stray = f"; it has {', '.join(list(self._stray)[:3])}" if self._stray else ""
            raise ValueError(
                f"{data_root}: has no partition date=YYYY-MM-DD/{stray}; write the log in that layout"
            )
        newest = folders[max(folders)]
        files = list_folder(filesystem, f"{root}/{newest}") if self._pattern else []
        self._example = next((f"{newest}/{info.path}" for info in files), f"{newest}/*.parquet")
        first = self._pattern[0] if self._pattern else "*"
        self._folders = {day: name for day, name in sorted(folders.items()) if fnmatchcase(name, first)}
        self.not_read += self._stray

    def __getitem__(self, day: date) -> list[ListedFile]:
        if day not in self._listed:
            self._listed[day] = self._list(self._folders[day])
        return self._listed[day]

    def __iter__(self) -> Iterator[date]:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)

    def check_has_files(self) -> None:
        """Raise ValueError if no day has a file."""
        if any(self[day] for day in reversed(list(self))):
            return
        if self._pattern:
            raise ValueError(
                f"{'/'.join([self.data_root, *self._pattern])}: matches none of the log's files; they are named as "
                f"{self._example}"
            )
        raise ValueError(f"{self.data_root}: its partitions have no Parquet file; write the log as Parquet")

    def check_stray_days(self, window: Window, is_newest: bool) -> None:
        """Raise ValueError for an entry that is named like a day of a window but is not a partition.

        Args:
            is_newest: the window ends with the log's newest day, so that a newer day would be missed, too.
        """
        for name, day in self._stray.items():
            if day is not None and (window.first <= day <= window.last or (is_newest and day > window.last)):
                raise ValueError(
                    f"{self.data_root}: {name!r} is named like a day of the window ({day}) but is not a partition "
                    "date=YYYY-MM-DD/; rename it, move it, or begin its name with _"
                )

    def _check_is_there(self) -> None:
        try:
            kind = get_file_info(self._filesystem, self._root).type
        except OSError as error:
            reason = in_one_line(error)
            raise ConnectionError(
                f"{self.data_root}: the store does not answer, or refuses ({reason}); check its address "
                "(AWS_ENDPOINT_URL), the credentials and the network"
            ) from None
        if kind != FileType.Directory:
            raise FileNotFoundError(
                f"{self.data_root}: no such data root; give the folder with the partitions date=YYYY-MM-DD/"
            )

    def _day_of(self, partition: str) -> date:
        matched = _DAY.match(partition)
        try:
            return date.fromisoformat(matched[1] if matched else "")
        except ValueError:
            raise ValueError(
                f"{self.data_root}: partition {partition!r} is not date=YYYY-MM-DD; rename or remove it"
            ) from None

    def _list(self, folder: str) -> list[ListedFile]:
        listed = [
            FileInfo(f"{folder}/{info.path}", info.type, mtime_ns=info.mtime_ns, size=info.size)
            for info in list_folder(self._filesystem, f"{self._root}/{folder}")
        ]
        chosen = choose_files(self._filesystem, self._root, filter(self._matches, listed), _check_place)
        self.not_read += chosen.not_read
        return [
            ListedFile(info.path.rpartition("/")[0], list_file(self._filesystem, info))
            for info in chosen.files
        ]

    def _matches(self, info: FileInfo) -> bool:
        parts = info.path.split("/")
        return len(parts) >= len(self._pattern) and all(map(fnmatchcase, parts, self._pattern))


def _check_place(path: str) -> None:
    """Raise ValueError for a file outside of the log's layout."""
    inside = path.split("/")[1:]
    if len(inside) > 1 and not (len(inside) == 2 and HOUR.match(inside[0])):
        raise ValueError(
            f"{path!r}: outside of the log's layout; allowed are date=YYYY-MM-DD/*.parquet and "
            "date=YYYY-MM-DD/hour=HH/*.parquet, hours 00 to 23; move it, or begin its folder's name with _"
        )


def _day_in(name: str) -> date | None:
    """The day in a name, as ``dt=2026-03-06`` or ``20260306.parquet``."""
    for match in _ANY_DAY.finditer(name):
        try:
            return date(int(match[1]), int(match[3]), int(match[4]))
        except ValueError:
            continue
    return None
