"""How the sample log is written: reproducibly, day by day, whole or not at all."""

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.common.runtime.atomic_output import MARK_NAME
from pipeline.simulator import SampleParameters, extend_log, is_sample_log, write_log, writer
from tests.pipeline.simulator.reading import contents

SMALL: dict[str, Any] = {"rows": 900, "days": 3, "truth": True}


def test_the_same_parameters_give_the_same_bytes(tmp_path: Path):
    write_log(tmp_path / "one", **SMALL)
    write_log(tmp_path / "two", **SMALL)
    write_log(tmp_path / "other", **SMALL, seed=1)
    one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one.keys() == other.keys()
    assert not any(one[name] == other[name] for name in one)


def test_rows_fall_evenly_on_the_days(tmp_path: Path):
    report = write_log(tmp_path / "log", rows=1_000, days=3)
    files = sorted((tmp_path / "log").glob("date=*/part-*.parquet"))
    assert [path.parent.name for path in files] == [f"date=2026-03-0{day}" for day in (1, 2, 3)]
    assert [pq.read_metadata(path).num_rows for path in files] == [334, 333, 333]
    assert (report.rows, report.first_day, report.last_day) == (1_000, date(2026, 3, 1), date(2026, 3, 3))


def test_a_day_depends_on_no_other_day(tmp_path: Path):
    write_log(tmp_path / "long", **SMALL)
    write_log(tmp_path / "short", rows=300, days=1, truth=True)
    long, short = contents(tmp_path / "long"), contents(tmp_path / "short")
    assert all(long[name] == short[name] for name in short if name.endswith(".parquet"))


def test_extending_continues_as_if_the_log_had_been_longer_from_the_start(tmp_path: Path):
    write_log(tmp_path / "grown", rows=600, days=2)
    assert extend_log(tmp_path / "grown").written == [date(2026, 3, 3)]
    report = extend_log(tmp_path / "grown", days=2)
    write_log(tmp_path / "whole", rows=1_500, days=5)
    grown, whole = contents(tmp_path / "grown"), contents(tmp_path / "whole")
    assert {name for name in grown if grown[name] != whole[name]} == {"_sample.json"}
    assert (report.rows, report.last_day) == (1_500, date(2026, 3, 5))
    assert write_log(tmp_path / "grown", rows=600, days=2).written == []


def test_a_second_call_writes_only_what_is_missing(tmp_path: Path):
    log = tmp_path / "log"
    write_log(log, **SMALL)
    before = contents(log)
    shutil.rmtree(log / "date=2026-03-02")
    kept = (log / "date=2026-03-01").stat().st_mtime_ns
    assert write_log(log, **SMALL).written == [date(2026, 3, 2)]
    assert contents(log) == before
    assert (log / "date=2026-03-01").stat().st_mtime_ns == kept


def test_large_days_are_cut_into_files_and_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "BLOCK_ROWS", 100)
    monkeypatch.setattr(writer, "BLOCKS_PER_FILE", 2)
    told: list[tuple[int, int]] = []
    write_log(tmp_path / "log", rows=900, days=2, on_progress=lambda done, total: told.append((done, total)))
    files = sorted((tmp_path / "log").glob("date=2026-03-01/*.parquet"))
    assert [path.name for path in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert [pq.read_metadata(path).num_rows for path in files] == [200, 200, 50]
    assert pq.read_metadata(files[0]).num_row_groups == 2
    served = [value for path in files for value in pq.read_table(path)["served_ms"].to_pylist()]
    assert served == sorted(served)
    assert told == [(rows, 900) for rows in (100, 200, 300, 400, 450, 550, 650, 750, 850, 900)]


def test_a_killed_process_leaves_whole_days_and_the_same_call_finishes_them(tmp_path: Path):
    log = tmp_path / "log"
    call = f"from pipeline.simulator import write_log; write_log({str(log)!r}, rows=600_000, days=40, truth=True)"
    process = subprocess.Popen([sys.executable, "-c", call])
    deadline = time.monotonic() + 60.0
    while len(list(log.glob("date=*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    days = sorted(log.glob("date=*"))
    assert 2 <= len(days) < 40
    assert all(pq.read_metadata(day / "part-00000.parquet").num_rows == 15_000 for day in days)
    assert all((log / "_truth" / day.name / "part-00000.parquet").is_file() for day in days)
    write_log(log, rows=600_000, days=40, truth=True)
    assert len(list(log.glob("date=*"))) == 40
    assert not list(log.rglob(".*partial*"))


def test_an_interrupted_call_leaves_nothing_half_written(tmp_path: Path):
    def interrupt(done: int, total: int) -> None:
        if done > 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_log(tmp_path / "log", **SMALL, on_progress=interrupt)
    names = {path.name for path in (tmp_path / "log").rglob("*")} - {MARK_NAME}
    assert names == {"_sample.json", "_truth", "date=2026-03-01", "part-00000.parquet"}
    report = extend_log(tmp_path / "log")
    assert report.written == [date(2026, 3, day) for day in (2, 3, 4)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rows": 0}, "rows: 0: must be greater than 0"),
        ({"days": 0}, "days: 0: must be greater than 0"),
        ({"rows": 3, "days": 4}, "rows must be at least days: 3 rows leave some of 4 days empty"),
        ({"seed": -1}, "seed: -1: must be at least 0"),
        ({"drift": -0.1}, "drift: -0.1: must be at least 0"),
        ({"drift": float("nan")}, "drift: nan: "),
        ({"start": date(9999, 12, 31)}, "6 days from 9999-12-31 go past the year 9999"),
    ],
)
def test_parameters_out_of_range_are_refused_before_anything_is_written(
    parameters: dict[str, Any], message: str, tmp_path: Path
):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared below
        write_log(tmp_path / "log", **parameters)
    assert str(refused.value).startswith(message)
    assert not (tmp_path / "log").exists()


def test_a_log_of_other_parameters_is_left_alone_and_the_difference_named(tmp_path: Path):
    write_log(tmp_path, **SMALL)
    before = contents(tmp_path)
    with pytest.raises(
        ValueError, match=r"holds a sample log of rows 900 and not 800, seed 0 and not 7; give"
    ):
        write_log(tmp_path, rows=800, days=3, truth=True, seed=7)
    assert contents(tmp_path) == before


def test_a_folder_with_anything_else_is_refused(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds 'thesis.txt', which is of no sample log"):
        write_log(tmp_path, **SMALL)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "log").write_text("a file")
    with pytest.raises(NotADirectoryError, match=r"log: a file; a log is a folder"):
        write_log(tmp_path / "log", **SMALL)
    assert not is_sample_log(tmp_path / "log")


def test_extending_needs_a_log_a_day_and_readable_parameters(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no sample log here \(no _sample.json\)"):
        extend_log(tmp_path)
    write_log(tmp_path / "log", **SMALL)
    with pytest.raises(ValueError, match=r"days: 0 days cannot be added; give 1 or more"):
        extend_log(tmp_path / "log", days=0)
    (tmp_path / "log" / "_sample.json").write_text("{")
    with pytest.raises(ValueError, match=r"_sample.json: not the parameters of a sample log: ") as refused:
        extend_log(tmp_path / "log")
    assert "\n" not in str(refused.value)


@given(days=st.integers(1, 400), spare=st.integers(0, 10**9))
def test_the_days_rows_sum_to_the_rows_and_differ_by_one_at_most(days: int, spare: int):
    parameters = SampleParameters(rows=days + spare, days=days)
    rows = [parameters.rows_of(number) for number in range(days)]
    assert sum(rows) == days + spare
    assert max(rows) - min(rows) <= 1
