"""Logs that prepare cannot read, past validation: one line each that names the file, and nothing half-written."""

import os
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.prepare.prepare import prepare_datasets
from tests.components.snapshots import snapshot_of
from tests.datasets import build_tiny, mark_validated
from tests.tiny import tiny_config, tiny_rows, write_tiny_log

FILE = "date=2026-03-03/part-00000.parquet"
Change = Callable[[pa.Table], pa.Table]


def put(name: str, column: Callable[[pa.Table], pa.Array]) -> Change:
    return lambda rows: rows.set_column(rows.column_names.index(name), name, column(rows))


def of_width(width: int) -> Callable[[pa.Table], pa.Array]:
    return lambda rows: pa.array([[0.0] * width] * len(rows))


BEFORE: dict[str, tuple[Change, str]] = {
    "a number is text": (
        put("likes", lambda rows: rows["likes"].cast(pa.string())),
        "column likes is string",
    ),
    "an id is a fraction": (
        put("topic", lambda rows: pa.array([0.5] * len(rows))),
        "column topic has value 0.5",
    ),
    "a list has another width": (
        put("user_embedding", of_width(3)),
        "column user_embedding has a list of 3; user_embedding needs lists of 4 numbers",
    ),
    "lists of several widths": (
        put("user_embedding", lambda rows: pa.array([[0.0] * 4] * (len(rows) - 1) + [[1.0]])),
        "column user_embedding has a list of 1",
    ),
    "a list is a number": (put("user_embedding", lambda rows: rows["likes"]), "user_embedding is float"),
    "a label is text": (put("like", lambda rows: pa.array(["1"] * len(rows))), "column like is string"),
    "a column is missing": (lambda rows: rows.drop_columns(["replies"]), "column replies is not there"),
    "a label is missing": (lambda rows: rows.drop_columns(["reply"]), "column reply is not there"),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_tiny_log(tmp_path / "log", days=5, rows=60)


def nothing_but_inputs(folder: Path) -> bool:
    return {path.name for path in folder.iterdir()} <= {"log", "snapshot", "validated"}


@pytest.mark.parametrize("kind", BEFORE)
def test_a_file_of_another_form_than_the_others_is_named(tmp_path: Path, log: Path, kind: str):
    change, message = BEFORE[kind]
    pq.write_table(change(pq.read_table(log / FILE)), log / FILE)
    with pytest.raises(ValueError, match=f"^{re.escape(FILE)}: .*{re.escape(message)}") as raised:
        build_tiny(tmp_path, tiny_config(), log)
    assert "\n" not in str(raised.value)
    assert nothing_but_inputs(tmp_path)


AFTER: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (
        lambda file: file.write_bytes(file.read_bytes()[:-50]),
        "truncated or not Parquet|changed since",
    ),
    "no Parquet": (lambda file: file.write_bytes(b"no"), "truncated or not Parquet|changed since"),
    "empty": (lambda file: file.write_bytes(b""), "truncated or not Parquet|changed since"),
    "vanished": (Path.unlink, "no such file"),
    "a pipe": (lambda file: (file.unlink(), os.mkfifo(file)), "no such file|not a regular file"),
    "a device": (
        lambda file: (file.unlink(), file.symlink_to("/dev/zero")),
        "no such file|not a regular file",
    ),
    "rows added": (lambda file: pq.write_table(tiny_rows_of(file), file), "changed since resolve"),
}


def tiny_rows_of(file: Path) -> pa.Table:
    rows = pq.read_table(file)
    return pa.concat_tables([rows, rows])


@pytest.mark.parametrize("kind", AFTER)
def test_a_file_that_changes_after_the_freeze_is_named(tmp_path: Path, log: Path, kind: str):
    snapshot = snapshot_of(log, tiny_config(), tmp_path / "snapshot")
    validated = mark_validated(snapshot, tmp_path / "validated")
    change, message = AFTER[kind]
    change(log / FILE)
    outs = [tmp_path / name for name in ("train", "calibration", "test")]
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{re.escape(FILE)}: .*({message})") as raised:
        prepare_datasets(snapshot, validated, *outs)
    assert "\n" not in str(raised.value)
    assert nothing_but_inputs(tmp_path)


def test_a_partition_that_appears_after_the_freeze_is_left_out(tmp_path: Path, log: Path):
    config = tiny_config()
    snapshot = snapshot_of(log, config, tmp_path / "snapshot")
    validated = mark_validated(snapshot, tmp_path / "validated")
    (log / "date=2026-03-06").mkdir()
    (log / "date=2026-03-06" / "part-00000.parquet").write_bytes((log / FILE).read_bytes())
    outs = [tmp_path / name for name in ("train", "calibration", "test")]
    manifests = prepare_datasets(snapshot, validated, *outs)
    assert sum(manifest.rows for manifest in manifests.values()) == 300


@pytest.mark.parametrize("name", ["likes.per hour", "likes__total", "lajků/ü", "喜欢", "a%20b", "'; --"])
@pytest.mark.parametrize("place", ["log", "a log.of__ünïcode 喜 %20"])
def test_names_with_dots_spaces_and_signs_are_read(tmp_path: Path, log: Path, name: str, place: str):
    log = log.rename(tmp_path / place)
    for file in sorted(log.rglob("*.parquet")):
        rows = pq.read_table(file)
        names = [name if column == "likes" else column for column in rows.column_names]
        pq.write_table(rows.rename_columns(names), file.with_name(f"part {name.replace('/', '_')}.parquet"))
        file.unlink()
    features = tiny_config().features.model_dump() | {"continuous": ["age_hours", name, "replies"]}
    sets = build_tiny(tmp_path / "built sets.ü", tiny_config(features=features), log)
    logged = tiny_rows(date(2026, 3, 5), 60)["likes"].to_pylist()
    manifest_rows = next((sets.test.parent / "test.rows").glob("*.arrow"))
    built = pa.ipc.open_file(str(manifest_rows)).read_all()["continuous"].to_pylist()
    assert [row[1] for row in built] == pytest.approx(logged)
