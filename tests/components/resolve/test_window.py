"""Which days a window takes, and what it says of those that are missing."""

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from components.common.storage.parquet import open_root
from components.resolve.window import Window, choose_window, in_hours, list_partitions, missing_days

DAYS = {date(2026, 3, day): [f"date=2026-03-{day:02d}/part-0.parquet"] for day in (1, 2, 4)}


def test_a_window_ends_at_the_newest_day_unless_told():
    assert choose_window(list(DAYS), None, 2) == Window(date(2026, 3, 3), date(2026, 3, 4))
    assert choose_window(list(DAYS), date(2026, 3, 2), 2) == Window(date(2026, 3, 1), date(2026, 3, 2))


@pytest.mark.parametrize("days", [10**6, 10**12])
def test_a_window_that_begins_before_the_calendar_is_refused(days: int):
    with pytest.raises(ValueError, match=f"^days: {days} days up to 2026-03-04 begin before the year 1"):
        choose_window(list(DAYS), None, days)
    hourly = {date(2026, 3, 1): ["date=2026-03-01/hour=05/a.parquet"]}
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


def test_hours_are_read_and_hidden_names_are_not(tmp_path: Path):
    for name in (
        "date=2026-03-01/hour=05/a.parquet",
        "date=2026-03-01/_temporary/b.parquet",
        "date=2026-03-01/.c.parquet",
        "date=2026-03-01/notes.txt",
        "date=__HIVE_DEFAULT_PARTITION__/d.parquet",
        "_truth/date=2026-03-01/d.parquet",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    filesystem, root = open_root(str(tmp_path))
    found = list_partitions(filesystem, root, str(tmp_path))
    assert found == {date(2026, 3, 1): ["date=2026-03-01/hour=05/a.parquet"]}


@pytest.mark.parametrize("name", ["date=2026-02-30", "date=2026-1-5", "date=20260306", "date=2026-03-06.old"])
def test_a_partition_that_is_no_date_is_named(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    filesystem, root = open_root(str(tmp_path))
    with pytest.raises(ValueError, match=f"partition '{name}' is no date=YYYY-MM-DD; rename"):
        list_partitions(filesystem, root, str(tmp_path))


@pytest.mark.parametrize("folder", ["hour=7", "hour=24", "country=de", "hour=07/country=de"])
def test_a_file_that_would_be_passed_over_is_named(tmp_path: Path, folder: str):
    path = tmp_path / "date=2026-03-01" / folder / "a.parquet"
    path.parent.mkdir(parents=True)
    path.touch()
    filesystem, root = open_root(str(tmp_path))
    with pytest.raises(
        ValueError, match=f"^'date=2026-03-01/{folder}/a.parquet': lies where no file of a log"
    ):
        list_partitions(filesystem, root, str(tmp_path))


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_but_has_the_name_of_one_is_named(tmp_path: Path, make: Callable[[Path], None]):
    (tmp_path / "date=2026-03-01").mkdir()
    make(tmp_path / "date=2026-03-01" / "a.parquet")
    filesystem, root = open_root(str(tmp_path))
    with pytest.raises(ValueError, match=r"^'date=2026-03-01/a.parquet': a folder or pipe, where"):
        list_partitions(filesystem, root, str(tmp_path))


def test_a_name_that_is_not_utf8_is_shown_by_its_bytes(tmp_path: Path):
    (tmp_path / "date=2026-03-01").mkdir()
    (tmp_path / "date=2026-03-01" / os.fsdecode(b"a\xff.parquet")).touch()
    filesystem, root = open_root(str(tmp_path))
    with pytest.raises(ValueError, match=r"^the file b'.*/a\\xff.parquet': its name is not UTF-8; rename it"):
        list_partitions(filesystem, root, str(tmp_path))
