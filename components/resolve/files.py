"""Selection of a run's window and of the log's files in it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from components.common.storage.log_files import ListedFile
from components.resolve.log_source import LogSource, open_log
from components.resolve.window import Window, choose_window, in_hours, missing_days
from recap_model.config import RecapConfig


class WindowFiles(NamedTuple):
    """Files of a window.

    Attributes:
        source: the log.
        files: those of the window, in order of days, without the identities that a store must be asked for.
        lookback: those of the days before it, of which histories are made.
        missing: days of the window without a file.
        not_read: other files and folders, which are skipped.
    """

    source: LogSource
    window: Window
    files: list[ListedFile]
    lookback: list[ListedFile]
    missing: list[date]
    not_read: list[str]


def find_files(config: RecapConfig, data_root: str, end_date: str, days: int, scheduled: str) -> WindowFiles:
    """Find the files of the window; arguments and errors as of `resolve_run`."""
    if days < 0:
        raise ValueError(f"days: {days}: must be at least 1, or 0 for data.days of the config")
    hours = config.data.hours if not days else None
    last = _parse_end(end_date, hours) or _before(scheduled, hours)
    source = open_log(data_root)
    available = source.days
    if hours is not None:
        window, files = in_hours(available, last, hours, config.data.tolerated_missing_hours)
        available.check_stray_days(window, is_newest=last is None)
        missing = [day for day in window.days if not files.get(day)]
    else:
        log_days = list(available)
        if source.has_pattern:
            log_days = [day for day in available if available[day]]
            available.check_has_files()
        span = (log_days[-1] - log_days[0]).days + 1
        length = days or (span if source.has_pattern and last is None else config.data.days)
        window = choose_window(log_days, last.date() if last else None, length)
        available.check_stray_days(window, is_newest=last is None)
        files = {day: available[day] for day in window.days if day in available}
        if not any(files.values()):
            available.check_has_files()
        missing = missing_days(window, available, config.data.tolerated_missing_days)
    chosen = [listed for day in window.days for listed in files.get(day, ())]
    return WindowFiles(
        source=source,
        window=window,
        files=chosen,
        lookback=list(list_lookback_files(available, window, chosen, config.features.lookback_days)),
        missing=missing,
        not_read=available.not_read,
    )


def list_lookback_files(
    available: Mapping[date, list[ListedFile]], window: Window, files: list[ListedFile], lookback_days: int
) -> Iterator[ListedFile]:
    """List the files of the days that histories look back on, and a window of hours' first day's earlier hours."""
    if not lookback_days:
        return
    begin = window.first - timedelta(days=min(lookback_days, (window.first - date.min).days))
    for day in (day for day in available if begin <= day <= window.first):
        yield from (listed for listed in available[day] if listed.partition < files[0].partition)


def _parse_end(end_date: str, hours: int | None) -> datetime | None:
    """The last hour of the window; for a day, the day's last hour."""
    if not end_date:
        return None
    try:
        time = datetime.fromisoformat(end_date)
    except ValueError:
        raise ValueError(f"end_date: {end_date!r} is not a date; write YYYY-MM-DD") from None
    if len(end_date) <= len("YYYY-MM-DD"):
        return time.replace(hour=23)
    if hours is None:
        raise ValueError(
            f"end_date: {end_date!r} has an hour; write YYYY-MM-DD, or set data.hours in the config"
        )
    return time.astimezone(UTC) if time.tzinfo else time


def _before(scheduled: str, hours: int | None) -> datetime | None:
    """The last hour of the last complete day, or the last complete hour, before a time."""
    if not scheduled:
        return None
    try:
        time = datetime.fromisoformat(scheduled)
    except ValueError:
        raise ValueError(
            f"scheduled: {scheduled!r} is not an ISO 8601 time; give end_date (YYYY-MM-DD) instead"
        ) from None
    in_utc = time.astimezone(UTC) if time.tzinfo else time
    begun = in_utc.replace(minute=0, second=0, microsecond=0)
    return (begun if hours is not None else begun.replace(hour=0)) - timedelta(hours=1)
