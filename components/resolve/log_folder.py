"""The folder of a log: its days, and the files of those that are asked for."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from fnmatch import fnmatchcase

from pyarrow.fs import FileInfo, FileSystem, FileType

from components.common.storage.log_files import check_no_table, choose_files, list_folder
from components.common.storage.retrying import get_file_info
from components.resolve.window import HOUR, Window
from recap_model.config.reading.errors import in_one_line

_DAY = re.compile(r"^date=(\d{4}-\d{2}-\d{2})$", re.ASCII)
_ANY_DAY = re.compile(r"(?<!\d)(\d{4})([-_.]?)(\d{2})\2(\d{2})(?!\d)", re.ASCII)
_NO_DAY = "date=__HIVE_DEFAULT_PARTITION__"  # Hive's and Spark's, of rows without a date


class LogFolder(Mapping[date, list[str]]):
    """The days of a log, oldest first, each with its Parquet files' paths under the root, in order.

    A day's files are listed when they are asked for. Hidden names (``_…``, ``.…``) are no part of a log; whatever
    else lies in a day that is asked for, or beside the days, is read, refused, or in ``not_read``.

    Args:
        pattern: of each part of the files' paths; what does not match is no part of the log.

    Attributes:
        data_root: as a person gave it, for errors.
        not_read: names of files and folders that are passed over: beside the days, and in those asked for.

    Raises:
        FileNotFoundError: there is no folder at ``data_root``.
        ConnectionError: the store that holds it does not answer, or refuses.
        ValueError: it is a table, holds no partition, or one that is no date; and where a day is asked for, a file
            that would be passed over or read twice without a word.
    """

    def __init__(
        self, filesystem: FileSystem, root: str, data_root: str, pattern: list[str] | None = None
    ) -> None:
        self.data_root, self.not_read = data_root, list[str]()
        self._filesystem, self._root, self._pattern = filesystem, root, pattern or []
        self._listed: dict[date, list[str]] = {}
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
                f"{data_root}: holds no partition date=YYYY-MM-DD/{stray}; write the log in that layout"
            )
        newest = folders[max(folders)]
        files = list_folder(filesystem, f"{root}/{newest}") if self._pattern else []
        self._example = next((f"{newest}/{info.path}" for info in files), f"{newest}/*.parquet")
        first = self._pattern[0] if self._pattern else "*"
        self._folders = {day: name for day, name in sorted(folders.items()) if fnmatchcase(name, first)}
        self.not_read += self._stray

    def __getitem__(self, day: date) -> list[str]:
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
        raise ValueError(f"{self.data_root}: its partitions hold no Parquet file; write the log as Parquet")

    def check_stray_days(self, window: Window, is_newest: bool) -> None:
        """Raise ValueError for what is named like a day of a window but is no partition.

        Args:
            is_newest: the window was to end with the log's newest day, so that one newer is missed, too.
        """
        for name, day in self._stray.items():
            if day is not None and (window.first <= day <= window.last or (is_newest and day > window.last)):
                raise ValueError(
                    f"{self.data_root}: {name!r} is of a day that is to be read ({day}), and is no partition "
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
                f"{self.data_root}: no such data root; give the folder that holds date=YYYY-MM-DD/"
            )

    def _day_of(self, partition: str) -> date:
        matched = _DAY.match(partition)
        try:
            return date.fromisoformat(matched[1] if matched else "")
        except ValueError:
            raise ValueError(
                f"{self.data_root}: partition {partition!r} is no date=YYYY-MM-DD; rename or remove it"
            ) from None

    def _list(self, folder: str) -> list[str]:
        listed = [
            FileInfo(f"{folder}/{info.path}", info.type, mtime_ns=info.mtime_ns, size=info.size)
            for info in list_folder(self._filesystem, f"{self._root}/{folder}")
        ]
        chosen = choose_files(self._filesystem, self._root, filter(self._matches, listed), _check_place)
        self.not_read += chosen.not_read
        return [info.path for info in chosen.files]

    def _matches(self, info: FileInfo) -> bool:
        parts = info.path.split("/")
        return len(parts) >= len(self._pattern) and all(map(fnmatchcase, parts, self._pattern))


def _check_place(path: str) -> None:
    """Raise ValueError for a file that lies elsewhere than a log's files."""
    inside = path.split("/")[1:]
    if len(inside) > 1 and not (len(inside) == 2 and HOUR.match(inside[0])):
        raise ValueError(
            f"{path!r}: lies where no file of a log does; allowed are date=YYYY-MM-DD/*.parquet and "
            "date=YYYY-MM-DD/hour=HH/*.parquet, hours 00 to 23; move it, or begin its folder's name with _"
        )


def _day_in(name: str) -> date | None:
    """The day that a name speaks of, as ``dt=2026-03-06`` or ``20260306.parquet``."""
    for found in _ANY_DAY.finditer(name):
        try:
            return date(int(found[1]), int(found[3]), int(found[4]))
        except ValueError:
            continue
    return None
