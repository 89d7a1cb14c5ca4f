"""What lies in a log's folder is read, refused, or named: nothing is lost or read twice without a word."""

import os
from datetime import date
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.storage.parquet import open_root
from components.resolve.log_folder import LogFolder
from components.resolve.window import Window

DAY = "date=2026-03-01"
ROWS = pa.table({"a": [1, 2]})


def write(root: Path, *names: str) -> Path:
    """Files of Parquet under a root; of a few words where the name ends with "!", and a folder where with "/"."""
    for name in names:
        path = root / name.rstrip("!")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        elif name.endswith("!"):
            path.write_text("a few words")
        else:
            pq.write_table(ROWS, path)
    return root


def read(root: Path, pattern: list[str] | None = None) -> LogFolder:
    filesystem, path = open_root(str(root))
    return LogFolder(filesystem, path, str(root), pattern)


def paths(folder: LogFolder) -> list[str]:
    return [listed.file.path for listed in folder[date(2026, 3, 1)]]


@pytest.mark.parametrize(
    "name",
    [
        *("a.parquet", "a.parq", "a.pq", "a.PARQUET", "a.snappy.parquet", "a.parquet.snappy"),
        *("000000_0", "part-00000-6f1d-c000", "a.0", "hour=05/a.parq", "hour=23/000000_0"),
    ],
)
def test_a_parquet_file_is_read_whatever_its_ending(tmp_path: Path, name: str):
    assert paths(read(write(tmp_path, f"{DAY}/{name}"))) == [f"{DAY}/{name}"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            f"{DAY}/_SUCCESS!",
            f"{DAY}/_temporary/0/b.parquet",
            f"{DAY}/.a.parquet.crc!",
            f"{DAY}/.hidden/b.parquet",
        ),
        *(
            f"{DAY}/hour=06/_SUCCESS!",
            f"{DAY}/.hoodie_partition_metadata!",
            "_truth/date=2026-03-02/a.parquet",
        ),
        *(f"{DAY}_$folder$!", "date=2026-03-02/"),
    ],
)
def test_what_is_hidden_or_empty_is_no_part_of_a_log(tmp_path: Path, name: str):
    folder = read(write(tmp_path, f"{DAY}/hour=05/a.parquet", name))
    assert paths(folder) == [f"{DAY}/hour=05/a.parquet"]
    assert folder.not_read == []


def test_what_holds_no_rows_is_named(tmp_path: Path):
    aside = [f"{DAY}/a.parquet.crc", f"{DAY}/b.parquet.tmp", f"{DAY}/docs/notes.txt"]
    root = write(tmp_path, f"{DAY}/a.parquet", *(f"{name}!" for name in aside), "stray.parquet", "README.md!")
    write(root, "dt=2026-02-28/a.parquet", "date=__HIVE_DEFAULT_PARTITION__/a.parquet")
    (root / DAY / "done").touch()
    folder = read(root)
    assert paths(folder) == [f"{DAY}/a.parquet"]
    beside = ["README.md", "date=__HIVE_DEFAULT_PARTITION__", "dt=2026-02-28", "stray.parquet"]
    assert folder.not_read == [*beside, *aside[:2], f"{DAY}/docs/notes.txt", f"{DAY}/done"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            [f"{DAY}/b.csv!"],
            f"^'{DAY}/b.csv': not Parquet; write it as Parquet, move it, or begin its name with _",
        ),
        ([f"{DAY}/b.parquet.gz!"], "not Parquet"),
        ([f"{DAY}/000001_0!"], "not Parquet"),
        (
            [f"{DAY}/hour=05/b.parquet"],
            f"^'{DAY}/a.parquet': lies beside hour=05/ of the same day, so rows",
        ),
        ([f"{DAY}/hour=7/a.parquet"], f"^'{DAY}/hour=7/a.parquet': outside of the log's layout"),
        ([f"{DAY}/hour=24/000000_0"], f"^'{DAY}/hour=24/000000_0': outside of the log's layout"),
        ([f"{DAY}/hour=07/country=de/a.parquet"], "outside of the log's layout"),
        ([f"{DAY}/country=de/b.csv!"], "outside of the log's layout"),
        (
            [f"{DAY}/_delta_log/0.json!"],
            r"is a table \(Delta: _delta_log/\), not all of whose files hold current",
        ),
        (["_delta_log/0.json!"], r"is a table \(Delta: _delta_log/\)"),
        ([".hoodie/hoodie.properties!"], r"is a table \(Hudi: .hoodie/\)"),
        (["metadata/v1.metadata.json!"], r"is a table \(Iceberg: metadata/\)"),
        (["date=2026-02-30/a.parquet"], "partition 'date=2026-02-30' is not date=YYYY-MM-DD; rename"),
        (["date=2026-1-5/a.parquet"], "partition 'date=2026-1-5' is not date=YYYY-MM-DD; rename"),
        (["date=2026-03-06.old/a.parquet"], "partition 'date=2026-03-06.old' is not date=YYYY-MM-DD; rename"),
    ],
)
def test_what_would_be_lost_or_read_twice_is_refused_by_name(tmp_path: Path, names: list[str], words: str):
    root = write(tmp_path, f"{DAY}/a.parquet", *names)
    with pytest.raises(ValueError, match=words):
        _ = read(root)[date(2026, 3, 1)]


def test_the_data_of_an_iceberg_table_is_refused(tmp_path: Path):
    write(tmp_path, f"data/{DAY}/a.parquet", "metadata/version-hint.text!")
    with pytest.raises(ValueError, match=r"is a table \(Iceberg: metadata/\)"):
        read(tmp_path / "data")


def test_links_lead_to_files_and_never_to_nothing_or_back(tmp_path: Path):
    root = write(tmp_path / "log", f"{DAY}/a.parquet")
    elsewhere = write(tmp_path / "elsewhere", "b.parquet", "05/c.parquet")
    (root / DAY / "b.parquet").symlink_to(elsewhere / "b.parquet")
    assert paths(read(root)) == [f"{DAY}/a.parquet", f"{DAY}/b.parquet"]
    for target, words in ((tmp_path / "nothing", "a link to nothing"), (root, "a link to a folder above it")):
        link = root / DAY / "hour=05"
        link.symlink_to(target)
        with pytest.raises(ValueError, match=f"{DAY}/hour=05(/{DAY})?': {words}"):
            _ = read(root)[date(2026, 3, 1)]
        link.unlink()
    (root / "date=2026-03-02").symlink_to(tmp_path / "nothing")
    assert read(root).not_read == ["date=2026-03-02"]


def test_a_pipe_and_a_name_that_is_not_utf8_are_refused(tmp_path: Path):
    root = write(tmp_path, f"{DAY}/a.parquet")
    os.mkfifo(root / DAY / "b.parquet")
    with pytest.raises(ValueError, match=f"^'{DAY}/b.parquet': a pipe or device, where"):
        _ = read(root)[date(2026, 3, 1)]
    (root / DAY / "b.parquet").rename(root / DAY / os.fsdecode(b"a\xff.parquet"))
    with pytest.raises(ValueError, match=r"^the file b'.*/a\\xff.parquet': its name is not UTF-8; rename it"):
        _ = read(root)[date(2026, 3, 1)]


@pytest.mark.parametrize(
    "name",
    [
        "date-2026-03-06/",
        "dt=2026-03-06/",
        "2026-03-06/",
        "20260306.parquet",
        "day_2026_03_06/",
        "date=2026-03-06!",
    ],
)
def test_a_day_that_is_no_partition_is_refused_where_it_would_be_read(tmp_path: Path, name: str):
    folder = read(write(tmp_path, f"{DAY}/a.parquet", "date=2026-03-05/a.parquet", name))
    until_05, until_06 = (Window(date(2026, 3, 1), date(2026, 3, day)) for day in (5, 6))
    folder.check_stray_days(until_05, is_newest=False)
    assert folder.not_read == [name.rstrip("/!")]
    for window, is_newest in ((until_05, True), (until_06, False)):
        with pytest.raises(ValueError, match=r"is named like a day of the window \(2026-03-06\)"):
            folder.check_stray_days(window, is_newest)


def test_a_store_of_objects_is_read_like_a_folder(tmp_path: Path):
    write(
        tmp_path, f"{DAY}/hour=05/000000_0", f"{DAY}/hour=06/a.parq", f"{DAY}/_SUCCESS!", f"{DAY}/notes.txt!"
    )
    write(tmp_path, "date=2026-03-02/b.csv!", "dt=2026-02-28/a.parquet", "_truth/a.parquet")
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path), "/log", recursive=True)
    try:
        folder = LogFolder(*open_root("memory://log"), "memory://log")
        assert list(folder) == [date(2026, 3, 1), date(2026, 3, 2)]
        assert paths(folder) == [f"{DAY}/hour=05/000000_0", f"{DAY}/hour=06/a.parq"]
        assert folder.not_read == ["dt=2026-02-28", f"{DAY}/notes.txt"]
        with pytest.raises(ValueError, match=r"^'date=2026-03-02/b.csv': not Parquet"):
            _ = folder[date(2026, 3, 2)]
        store.put(str(tmp_path), "/log/_delta_log", recursive=True)
        with pytest.raises(ValueError, match=r"is a table \(Delta: _delta_log/\)"):
            LogFolder(*open_root("memory://log"), "memory://log")
    finally:
        store.rm("/log", recursive=True)


def test_a_pattern_leaves_out_what_does_not_match(tmp_path: Path):
    root = write(tmp_path, f"{DAY}/a.parquet", f"{DAY}/b.csv!", f"{DAY}/hour=05/c.parquet", "dt=2026-03-06/")
    folder = read(root, ["date=*", "*.parquet"])
    assert paths(folder) == [f"{DAY}/a.parquet"]
    assert folder.not_read == []
    assert paths(read(root, ["date=*", "hour=*"])) == [f"{DAY}/hour=05/c.parquet"]


def test_only_the_days_that_are_asked_for_are_listed(tmp_path: Path):
    root = write(tmp_path, f"{DAY}/a.parquet", "date=2026-03-02/b.csv!")
    assert paths(read(root)) == [f"{DAY}/a.parquet"]
