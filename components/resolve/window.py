"""The window of days or hours of a run."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from components.common.storage.log_files import ListedFile

HOUR = re.compile(r"^hour=([01]\d|2[0-3])$", re.ASCII)


@dataclass(frozen=True)
class Window:
    """Days from ``first`` to ``last``, both included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=offset) for offset in range((self.last - self.first).days + 1)]


def cut_pattern(data_root: str) -> tuple[str, list[str]]:
    """Split a data root into the folder before its first wildcard and the patterns of the path components after it.

    >>> cut_pattern("s3://logs/feed/date=2026-03-0*/part-*.parquet?region=eu-west-1")
    ('s3://logs/feed?region=eu-west-1', ['date=2026-03-0*', 'part-*.parquet'])
    """
    path, question, query = data_root.partition("?") if "://" in data_root else (data_root, "", "")
    parts = path.rstrip("/").split("/")
    wild = [number for number, part in enumerate(parts) if "*" in part or "[" in part]
    if "://" not in data_root:  # a local folder's name may contain these characters
        wild = [number for number in wild if not os.path.isdir("/".join(parts[: number + 1]))]
    if not wild:
        return data_root, []
    days = [number for number, part in enumerate(parts) if part.startswith("date=")]
    first = min([*wild, *days])
    return "/".join(parts[:first]) + question + query, parts[first:]


def in_hours(
    available: Mapping[date, list[ListedFile]], last: datetime | None, hours: int, tolerated: int
) -> tuple["Window", dict[date, list[ListedFile]]]:
    """The days and files of ``hours`` hours up to the hour of ``last``, or up to the log's newest.

    Raises ValueError if more than ``tolerated`` hours or all hours have no file, or the window begins before year 1.
    """
    end = last or _newest_hour(available)
    end = end.replace(minute=0, second=0, microsecond=0, tzinfo=None)
    try:
        wanted = [end - timedelta(hours=back) for back in reversed(range(hours))]
    except OverflowError:
        raise ValueError(
            f"data.hours: {hours} hours up to {end} begin before the year 1; give fewer"
        ) from None
    by_hour: dict[datetime, list[ListedFile]] = {}
    for day in dict.fromkeys(hour.date() for hour in wanted):
        for listed in available.get(day, ()):
            if (hour := _hour_of(day, listed)) is not None:
                by_hour.setdefault(hour, []).append(listed)
    if not by_hour:
        _newest_hour(available)
    missing = [hour for hour in wanted if hour not in by_hour]
    if len(missing) > tolerated or len(missing) == hours:
        names = ", ".join(f"{hour:date=%Y-%m-%d/hour=%H}" for hour in missing[:5])
        raise ValueError(
            f"{len(missing)} of {hours} hours are missing ({names}{', …' if len(missing) > 5 else ''}); "
            f"data.tolerated_missing_hours is {tolerated}; write them, choose another window, or tolerate more"
        )
    files: dict[date, list[ListedFile]] = {}
    for hour in wanted:
        files.setdefault(hour.date(), []).extend(by_hour.get(hour, []))
    return Window(wanted[0].date(), end.date()), files


def _newest_hour(available: Mapping[date, list[ListedFile]]) -> datetime:
    """The newest hour with a file. Raises ValueError if the log has no hourly partitions."""
    for day in sorted(available, reverse=True):
        if hours := [hour for listed in available[day] if (hour := _hour_of(day, listed)) is not None]:
            return max(hours)
    raise ValueError(
        "data.hours: the log has no partition date=…/hour=…; choose a window of days (data.days)"
    )


def _hour_of(day: date, listed: ListedFile) -> datetime | None:
    match = HOUR.match(listed.partition.partition("/")[2])
    return datetime(day.year, day.month, day.day) + timedelta(hours=int(match[1])) if match else None


def choose_window(available: list[date], end_date: date | None, days: int) -> Window:
    """``days`` days up to ``end_date``, or up to the log's newest day.

    Raises ValueError if the window begins before year 1.
    """
    last = end_date or max(available)
    try:
        return Window(last - timedelta(days=days - 1), last)
    except OverflowError:
        raise ValueError(f"days: {days} days up to {last} begin before the year 1; give fewer") from None


def missing_days(window: Window, available: Mapping[date, list[ListedFile]], tolerated: int) -> list[date]:
    """Days of the window without a file.

    Raises ValueError if more than ``tolerated`` days, or all, are missing.
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
