"""The window of days, and the partitions of the log that fall into it."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase

from pyarrow.fs import FileSelector, FileSystem, FileType

from components.common.storage.retrying import answer
from recap_model.config.errors import in_one_line

_DAY = re.compile(r"^date=(\d{4}-\d{2}-\d{2})$", re.ASCII)
_HOUR = re.compile(r"^hour=([01]\d|2[0-3])$", re.ASCII)
_NO_DAY = "date=__HIVE_DEFAULT_PARTITION__"  # Hive's and Spark's, of rows without a date


@dataclass(frozen=True)
class Window:
    """Days from ``first`` to ``last``, both included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=offset) for offset in range((self.last - self.first).days + 1)]


def cut_pattern(data_root: str) -> tuple[str, list[str]]:
    """A data root without its wildcards, and the pattern of each part of the paths under it.

    >>> cut_pattern("s3://logs/feed/date=2026-03-0*/part-*.parquet?region=eu-west-1")
    ('s3://logs/feed?region=eu-west-1', ['date=2026-03-0*', 'part-*.parquet'])
    """
    path, question, query = data_root.partition("?")
    parts = path.split("/")
    wild = [number for number, part in enumerate(parts) if "*" in part or "[" in part]
    if not wild:
        return data_root, []
    days = [number for number, part in enumerate(parts) if part.startswith("date=")]
    first = min([*wild, *days])
    return "/".join(parts[:first]) + question + query, parts[first:]


def matching(available: dict[date, list[str]], pattern: list[str], data_root: str) -> dict[date, list[str]]:
    """The files whose path begins with parts that match the pattern's. Raises ValueError if there is none."""

    def matches(path: str) -> bool:
        parts = path.split("/")
        return len(parts) >= len(pattern) and all(map(fnmatchcase, parts, pattern))

    found = {day: [path for path in paths if matches(path)] for day, paths in available.items()}
    if not any(found.values()):
        raise ValueError(
            f"{data_root}: matches none of the log's files; they are named as {_an_example(available)}"
        )
    return {day: paths for day, paths in found.items() if paths}


def _an_example(available: dict[date, list[str]]) -> str:
    return next((path for paths in available.values() for path in paths), "nothing: the log has no file")


def in_hours(
    available: dict[date, list[str]], last: datetime | None, hours: int, tolerated: int
) -> tuple["Window", dict[date, list[str]]]:
    """The days and files of ``hours`` hours up to the hour of ``last``, or up to the log's newest.

    Raises ValueError if more hours than ``tolerated`` have no file, or all, or are before the calendar begins.
    """
    by_hour: dict[datetime, list[str]] = {}
    for day, paths in available.items():
        for path in paths:
            if (found := _HOUR.match(path.split("/")[1])) is not None:
                hour = datetime(day.year, day.month, day.day) + timedelta(hours=int(found[1]))
                by_hour.setdefault(hour, []).append(path)
    if not by_hour:
        raise ValueError(
            "data.hours: the log has no partition date=…/hour=…; choose a window of days (data.days)"
        )
    end = (last or max(by_hour)).replace(minute=0, second=0, microsecond=0, tzinfo=None)
    try:
        wanted = [end - timedelta(hours=back) for back in reversed(range(hours))]
    except OverflowError:
        raise ValueError(
            f"data.hours: {hours} hours up to {end} begin before the year 1; give fewer"
        ) from None
    missing = [hour for hour in wanted if hour not in by_hour]
    if len(missing) > tolerated or len(missing) == hours:
        names = ", ".join(f"{hour:date=%Y-%m-%d/hour=%H}" for hour in missing[:5])
        raise ValueError(
            f"{len(missing)} of {hours} hours are missing ({names}{', …' if len(missing) > 5 else ''}); "
            f"data.tolerated_missing_hours is {tolerated}; write them, choose another window, or tolerate more"
        )
    files: dict[date, list[str]] = {}
    for hour in wanted:
        files.setdefault(hour.date(), []).extend(by_hour.get(hour, []))
    return Window(wanted[0].date(), end.date()), files


def list_partitions(filesystem: FileSystem, root: str, data_root: str) -> dict[date, list[str]]:
    """The days of a log, each with its Parquet files' paths under the root, in order.

    Names that start with "_" or "." are no part of the log, nor are rows without a date.

    Raises:
        FileNotFoundError: there is no folder at ``data_root``.
        ConnectionError: the store that holds it does not answer, or refuses.
        ValueError: it holds no partition, no Parquet file, a day that is no date, or a Parquet file that would be
            passed over without a word.
    """
    try:
        kind = answer(filesystem, root).type
    except OSError as error:
        reason = in_one_line(error)
        raise ConnectionError(
            f"{data_root}: the store does not answer, or refuses ({reason}); check its address (AWS_ENDPOINT_URL), "
            "the credentials and the network"
        ) from None
    if kind != FileType.Directory:
        raise FileNotFoundError(
            f"{data_root}: no such data root; give the folder that holds date=YYYY-MM-DD/"
        )
    days: dict[date, list[str]] = {}
    for info in answer(filesystem, FileSelector(root)):
        name = info.base_name
        if info.type == FileType.Directory and name.startswith("date=") and name != _NO_DAY:
            days[_day_of(name, data_root)] = _files_of_day(filesystem, root, name)
    if not days:
        raise ValueError(f"{data_root}: holds no partition date=YYYY-MM-DD/; write the log in that layout")
    if not any(days.values()):
        raise ValueError(f"{data_root}: its partitions hold no Parquet file; write the log as Parquet")
    return dict(sorted(days.items()))


def _day_of(partition: str, data_root: str) -> date:
    matched = _DAY.match(partition)
    try:
        return date.fromisoformat(matched[1] if matched else "")
    except ValueError:
        raise ValueError(
            f"{data_root}: partition {partition!r} is no date=YYYY-MM-DD; rename or remove it"
        ) from None


def _files_of_day(filesystem: FileSystem, root: str, name: str) -> list[str]:
    found = []
    selector = FileSelector(f"{root}/{name}", recursive=True)
    for info in answer(filesystem, selector):
        inside = info.path.removeprefix(f"{root}/{name}/").split("/")
        if not info.base_name.endswith(".parquet") or any(part.startswith(("_", ".")) for part in inside):
            continue
        path = "/".join((name, *inside))
        if info.type != FileType.File:
            raise ValueError(
                f"{path!r}: a folder or pipe, where a log has Parquet files; put its files beside it, or remove it"
            )
        if len(inside) > 1 and not (len(inside) == 2 and _HOUR.match(inside[0])):
            raise ValueError(
                f"{path!r}: lies where no file of a log does; allowed are date=YYYY-MM-DD/*.parquet and "
                "date=YYYY-MM-DD/hour=HH/*.parquet, hours 00 to 23; move it, or begin its folder's name with _"
            )
        found.append(path)
    return sorted(found)


def choose_window(available: list[date], end_date: date | None, days: int) -> Window:
    """``days`` days up to ``end_date``, or up to the log's newest day.

    Raises ValueError if the calendar does not go back so far.
    """
    last = end_date or max(available)
    try:
        return Window(last - timedelta(days=days - 1), last)
    except OverflowError:
        raise ValueError(f"days: {days} days up to {last} begin before the year 1; give fewer") from None


def missing_days(window: Window, available: dict[date, list[str]], tolerated: int) -> list[date]:
    """Days of the window without a file.

    Raises ValueError if they are more than ``tolerated``, or all.
    """
    missing = [day for day in window.days if not available.get(day)]
    if len(missing) == len(window.days):
        raise ValueError(
            f"no partition between {window.first} and {window.last}; the log has "
            f"{min(available)} to {max(available)}; choose another end date"
        )
    if len(missing) > tolerated:
        names = ", ".join(f"date={day}" for day in missing[:5]) + (", …" if len(missing) > 5 else "")
        raise ValueError(
            f"{len(missing)} of {len(window.days)} days are missing ({names}); data.tolerated_missing_days is "
            f"{tolerated}; write them, choose another window, or tolerate more"
        )
    return missing
