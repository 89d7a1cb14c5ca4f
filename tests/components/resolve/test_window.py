"""Which days a window takes, and what it says of those that are missing."""

from datetime import date
from pathlib import Path

import pytest

from components.common.artifacts.snapshot import LogFile
from components.common.storage.log_files import ListedFile
from components.resolve.files import list_lookback_files
from components.resolve.window import Window, choose_window, cut_pattern, in_hours, missing_days

DAYS = {date(2026, 3, day): [f"date=2026-03-{day:02d}/part-0.parquet"] for day in (1, 2, 4)}


def test_a_window_ends_at_the_newest_day_unless_told():
    assert choose_window(list(DAYS), None, 2) == Window(date(2026, 3, 3), date(2026, 3, 4))
    assert choose_window(list(DAYS), date(2026, 3, 2), 2) == Window(date(2026, 3, 1), date(2026, 3, 2))


@pytest.mark.parametrize("days", [10**6, 10**12])
def test_a_window_that_begins_before_the_calendar_is_refused(days: int):
    with pytest.raises(ValueError, match=f"^days: {days} days up to 2026-03-04 begin before the year 1"):
        choose_window(list(DAYS), None, days)
    folder = "date=2026-03-01/hour=05"
    hourly = {date(2026, 3, 1): [ListedFile(folder, LogFile(path=f"{folder}/a.parquet", bytes=1))]}
    with pytest.raises(ValueError, match=f"^data.hours: {24 * days} hours up to 2026-03-01 05:00:00 begin"):
        in_hours(hourly, None, 24 * days, 0)


def test_a_missing_day_is_tolerated_up_to_the_stated_number():
    window = Window(date(2026, 3, 1), date(2026, 3, 4))
    assert missing_days(window, DAYS, tolerated=1) == [date(2026, 3, 3)]
    with pytest.raises(ValueError, match=r"1 of 4 days are missing \(date=2026-03-03\)"):
        missing_days(window, DAYS, tolerated=0)


def test_a_window_without_any_day_is_refused_however_tolerant():
    window = Window(date(2026, 4, 1), date(2026, 4, 2))
    with pytest.raises(ValueError, match="the log has 2026-03-01 to 2026-03-04"):
        missing_days(window, DAYS, tolerated=9)


def test_a_folder_whose_name_has_brackets_is_no_pattern(tmp_path: Path):
    log = tmp_path / "logs [prod]"
    log.mkdir()
    assert cut_pattern(str(log)) == (str(log), [])
    for end in ("", "/"):
        assert cut_pattern(f"{log}/date=2026-03-*{end}") == (str(log), ["date=2026-03-*"])


def test_hours_look_back_on_the_earlier_hours_of_their_first_day():
    def listed(day: int, hour: int) -> ListedFile:
        partition = f"date=2026-03-0{day}/hour={hour:02d}"
        return ListedFile(partition, LogFile(path=f"{partition}/part.parquet", bytes=1))

    days = {date(2026, 3, day): [listed(day, hour) for hour in (5, 6, 7)] for day in (1, 2, 3)}
    window = Window(date(2026, 3, 3), date(2026, 3, 3))
    found = list_lookback_files(days, window, [listed(3, 6), listed(3, 7)], 1)
    assert [file.partition for file in found] == [
        "date=2026-03-02/hour=05",
        "date=2026-03-02/hour=06",
        "date=2026-03-02/hour=07",
        "date=2026-03-03/hour=05",
    ]
