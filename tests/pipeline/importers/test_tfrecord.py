"""TFRecord files by another package's writer, as a log; and what is broken in one, by its record."""

import gzip
import os
import struct
from datetime import date
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow.parquet as pq
import pytest
from tfrecord import TFRecordWriter

from pipeline.importers import tfrecord as importer
from pipeline.importers.tfrecord import import_tfrecord
from tests.tiny import DAY_MS

START = 1_772_323_200_000  # 2026-03-01T00:00:00Z
ROWS = 5


def row(number: int) -> dict[str, Any]:
    """A day has two rows; `followed` grows, and the first row has none."""
    features = {
        "time": (START + number // 2 * DAY_MS, "int"),
        "continuous": ([float(number), 0.5, -1.0], "float"),
        "is_video": (number % 2, "int"),
        "name": (f"post {number}".encode(), "byte"),
    }
    if number:
        features["followed"] = (list(range(number)), "int")
    return features


def write(path: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    writer = TFRecordWriter(str(path))
    for features in rows or [row(number) for number in range(ROWS)]:
        writer.write(features)
    writer.close()
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_records_become_columns_and_fall_on_their_days(tmp_path: Path, packed: bool):
    path = write(tmp_path / "a.tfrecord")
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    report = import_tfrecord(path, tmp_path / "log", time="time")
    assert (report.rows, report.first_day, report.last_day) == (5, date(2026, 3, 1), date(2026, 3, 3))
    files = sorted((tmp_path / "log").rglob("*.parquet"))
    rows = [each for file in files for each in pq.ParquetFile(file).read().to_pylist()]
    assert [each["continuous"] for each in rows] == [[float(number), 0.5, -1.0] for number in range(ROWS)]
    assert [each["followed"] for each in rows] == [None, [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert (rows[3]["is_video"], rows[3]["name"]) == (1, b"post 3")
    types = {field.name: str(field.type) for field in pq.read_schema(files[0])}
    assert types["continuous"].startswith("fixed_size_list<")
    assert (types["is_video"], types["time"]) == ("int64", "int64")


def test_rows_are_written_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importer, "_CHUNK_BYTES", 300)
    import_tfrecord(write(tmp_path / "a"), tmp_path / "log", day=date(2026, 3, 9))
    (file,) = (tmp_path / "log").rglob("*.parquet")
    assert pq.ParquetFile(file).num_row_groups > 1
    assert pq.ParquetFile(file).read()["continuous"].to_pylist() == [
        [float(n), 0.5, -1.0] for n in range(ROWS)
    ]


def test_a_folder_of_files_is_one_log_of_one_day(tmp_path: Path):
    folder = tmp_path / "records"
    folder.mkdir()
    write(folder / "a.tfrecord")
    write(folder / "b.tfrecord")
    report = import_tfrecord(folder, tmp_path / "log", day=date(2026, 3, 9))
    assert (report.rows, report.first_day, report.last_day) == (10, date(2026, 3, 9), date(2026, 3, 9))


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def claiming(length: int) -> bytes:
    """The header of a record of that length, its checksum right, and the beginning of a record."""
    head = struct.pack("<Q", length)
    crc = google_crc32c.value(head)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return head + struct.pack("<I", masked) + b"row"


def test_a_broken_record_is_named_and_nothing_is_written(tmp_path: Path):
    content = write(tmp_path / "whole").read_bytes()
    broken = {
        flipped(content, 20): "record 0: its checksum is wrong",
        flipped(content, len(content) - 1): "record 4: its checksum is wrong",
        content[:-7]: "record 4: cut off",
        b"PAR1" + content: "record 0: its checksum is wrong, or this is no TFRecord file",
        gzip.compress(content)[:-20]: "cannot be unpacked",
        claiming(2**63): "record 0: claims 9,223,372,036,854,775,808 bytes",
        claiming(2**40): "record 0: claims 1,099,511,627,776 bytes",
        gzip.compress(content + claiming(2**40)): "record 5: claims 1,099,511,627,776 bytes",
        claiming(2**26): "record 0: cut off",
    }
    path = tmp_path / "broken"
    for damaged, message in broken.items():
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"^{path}: .*{message.removeprefix('record ')}") as raised:
            import_tfrecord(path, tmp_path / "log", time="time")
        assert "\n" not in str(raised.value)
        assert {each.name for each in tmp_path.iterdir()} == {"whole", "broken"}


def test_a_feature_of_another_kind_a_missing_time_and_no_file_are_one_line_each(tmp_path: Path):
    path = write(tmp_path / "a", [row(0), row(1) | {"is_video": (0.5, "float")}])
    with pytest.raises(
        ValueError, match="record 1: feature is_video is a float_list, in a record before a int64"
    ):
        import_tfrecord(path, tmp_path / "log", time="time")
    path = write(tmp_path / "b", [row(0), {"name": (b"x", "byte")}])
    with pytest.raises(ValueError, match="record 1: has no time, so no day"):
        import_tfrecord(path, tmp_path / "log", time="time")
    with pytest.raises(ValueError, match="feature name is no single int64"):
        import_tfrecord(path, tmp_path / "log", time="name")
    with pytest.raises(ValueError, match="give either the feature"):
        import_tfrecord(path, tmp_path / "log")
    os.mkfifo(tmp_path / "pipe")
    for source in ("none", "pipe"):
        with pytest.raises(FileNotFoundError, match="no such file; give a TFRecord file"):
            import_tfrecord(tmp_path / source, tmp_path / "log", time="time")
    assert not (tmp_path / "log").exists()
