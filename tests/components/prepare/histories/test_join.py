"""Histories made of the log: the same bytes on every engine, no event that was not known before the impression."""

import itertools
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.artifacts.snapshot import Snapshot
from components.common.engine import Engine
from components.common.engine.local import LocalEngine
from components.common.storage.parquet import count_rows
from components.prepare.histories.events import event_columns
from components.prepare.histories.history_file import HistoryReader
from components.prepare.histories.join import join_histories
from components.prepare.id_forms import IdForms
from recap_model.config import RecapConfig, parse_config
from tests.components.snapshots import snapshot_of
from tests.tiny import DAY_MS, tiny_config, write_tiny_log

DAY = (date(2026, 3, 1) - date(1970, 1, 1)).days * DAY_MS
COLUMNS = {
    "item": "post_id",
    "actions": {"kind": "actions", "values": ["reply", "like"]},
    "dwell": {"column": "dwell_s", "kind": "number", "known_at": "left_ms"},
    "time": {"kind": "time"},
}


def config_with(sequence: dict[str, Any] | None = None, **data: Any) -> RecapConfig:
    content = tiny_config().model_dump(mode="json")
    content["features"]["derived_sequences"] = {"history": {"columns": COLUMNS} | (sequence or {})}
    content["data"] |= data
    return parse_config(content)


CONFIG = config_with()


def log_row(impressed: int, **values: Any) -> dict[str, Any]:
    """A row of the tiny log; `impressed` is in ms of the first day."""
    row = {
        "user_id": 1,
        "request_id": impressed,
        "post_id": impressed,
        "impressed_ms": DAY + impressed,
        "engaged_ms": None,
        "left_ms": DAY + impressed + 10,
        "dwell_s": impressed / 1000,
        "like": 0,
        "reply": 0,
    }
    return row | values


def histories(
    folder: Path,
    rows: list[dict[str, Any]],
    config: RecapConfig = CONFIG,
    before: list[dict[str, Any]] | None = None,
) -> list[dict[str, list]]:
    """For each row its history; ``before`` are rows of the day before the window."""
    kinds = {
        "engaged_ms": pa.int64(),
        "user_id": pa.int64(),
        "impressed_ms": pa.int64(),
        "request_id": pa.int64(),
    }
    for day, of_day in (("2026-02-28", before or []), ("2026-03-01", rows)):
        if of_day:
            (folder / "log" / f"date={day}").mkdir(parents=True)
            table = pa.Table.from_pylist(of_day)
            for name, kind in kinds.items():
                table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
            pq.write_table(table, folder / "log" / f"date={day}" / "part.parquet")
    snapshot = count_rows(Snapshot.read(snapshot_of(folder / "log", config, folder / "snapshot"))[0])
    if before:
        snapshot = snapshot.model_copy(
            update={"partitions": snapshot.partitions[1:], "lookback": snapshot.partitions[:1]}
        )
    read = join(LocalEngine(1), snapshot, config, folder / "histories")
    return [
        {
            key: read[f"sequence.history.{key}"][row].as_py()
            for key in config.features.derived_sequences["history"].columns
        }
        for row in range(len(rows))
    ]


def join(engine: Engine, snapshot: Snapshot, config: RecapConfig, root: Path) -> dict[str, pa.Array]:
    root.mkdir()
    forms = IdForms.read(snapshot, event_columns(config))
    with engine:
        histories = join_histories(engine, snapshot, config, forms, str(root))
    reader = HistoryReader(histories)
    bounds = np.linspace(0, snapshot.rows, 4).astype(int).tolist()
    pieces = [reader.read(first, end - first) for first, end in itertools.pairwise(bounds)]
    return {name: pa.concat_arrays([piece[name] for piece in pieces]) for name in pieces[0]}


def test_a_history_has_the_events_values_newest_first(tmp_path: Path):
    rows = [
        log_row(1000, like=1, reply=1, engaged_ms=DAY + 1500),
        log_row(2000),
        log_row(3_601_000),
    ]
    first, second, third = histories(tmp_path, rows)
    assert first == {"item": [], "actions": [], "dwell": [], "time": []}
    assert second["item"] == [1000]
    assert third["item"] == [2000, 1000]
    assert third["actions"] == [0, 3]
    assert third["dwell"] == [2.0, 1.0]
    assert third["time"] == pytest.approx([3_599_000 / 3_600_000, 1.0])


@pytest.mark.parametrize(("shift", "expected"), [(-1, [5000 - 1]), (0, []), (1, [])])
def test_an_event_one_millisecond_from_the_impression(shift: int, expected: list, tmp_path: Path):
    rows = [log_row(5000 + shift), log_row(5000, post_id=1)]
    assert histories(tmp_path, rows)[1]["item"] == expected


@pytest.mark.parametrize(("engaged", "actions"), [(4999, 2), (5000, 2), (5001, 0), (None, 0)])
def test_an_action_is_in_a_history_from_its_engagement_on(engaged: int | None, actions: int, tmp_path: Path):
    when = None if engaged is None else DAY + engaged
    rows = [log_row(4000, like=1, engaged_ms=when), log_row(5000)]
    assert histories(tmp_path, rows)[1]["actions"] == [actions]


def test_a_value_is_missing_until_it_is_known(tmp_path: Path):
    rows = [log_row(4000, left_ms=DAY + 5001), log_row(5000), log_row(5001)]
    at_5000, at_5001 = histories(tmp_path, rows)[1:]
    assert np.isnan(at_5000["dwell"]).all()
    assert at_5001["dwell"][1] == 4.0


@pytest.mark.parametrize(("engaged", "items"), [(5000, [3000, 1000]), (5001, [1000])])
def test_only_positives_that_are_known_are_events(engaged: int, items: list, tmp_path: Path):
    rows = [
        log_row(1000, like=1, engaged_ms=DAY + 1001),
        log_row(2000, like=0),
        log_row(3000, like=1, engaged_ms=DAY + engaged),
        log_row(5000),
    ]
    config = config_with({"only_where": "like"})
    assert histories(tmp_path, rows, config)[3]["item"] == items


def test_rows_without_a_user_or_a_time_have_no_history_and_are_in_none(tmp_path: Path):
    rows = [log_row(1000), log_row(2000, user_id=None), log_row(3000, impressed_ms=None), log_row(4000)]
    assert [one["item"] for one in histories(tmp_path, rows)] == [[], [], [], [1000]]


def test_a_duplicate_is_one_event(tmp_path: Path):
    rows = [log_row(1000, request_id=1, post_id=7), log_row(1500, request_id=1, post_id=7), log_row(4000)]
    for keep, time in (("first", 3.0), ("last", 2.5)):
        config = config_with(deduplicate={"keep": keep})
        found = histories(tmp_path / keep, rows, config)[2]
        assert found["item"] == [7]
        assert found["time"] == pytest.approx([time / 3600])


def test_days_before_the_window_are_in_histories_and_have_none(tmp_path: Path):
    before = [log_row(1000 - DAY_MS, post_id=1), log_row(2000 - DAY_MS, post_id=2)]
    assert [one["item"] for one in histories(tmp_path, [log_row(1000), log_row(2000)], before=before)] == [
        [2, 1],
        [1000, 2, 1],
    ]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("log")
    log = write_tiny_log(folder / "log", days=3, rows=300, files=2)
    for file in log.rglob("*.parquet"):
        rows = pq.read_table(file)
        rows = rows.append_column("dwell_s", pa.array(np.arange(len(rows)) / 8))
        pq.write_table(rows.append_column("left_ms", pa.array(rows["impressed_ms"].to_numpy() + 9000)), file)
    return count_rows(Snapshot.read(snapshot_of(log, CONFIG, folder / "snapshot"))[0])


@pytest.mark.parametrize("rows_per_shard", [1_000_000, 100])
def test_histories_are_those_of_the_definition_for_any_number_of_shards(
    rows_per_shard: int, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("components.prepare.histories.join._ROWS_PER_SHARD", rows_per_shard)
    monkeypatch.setattr("components.prepare.histories.join._ROWS_OF_A_BATCH_OF_ALL_SHARDS", 200)
    found = join(LocalEngine(1), snapshot, CONFIG, tmp_path / "histories")
    for name, expected in _by_definition(snapshot).items():
        assert str(found[name].to_pylist()) == str(expected), name  # NaN is not equal to itself


def _by_definition(snapshot: Snapshot) -> dict[str, list]:
    rows = [
        row
        for partition in snapshot.partitions
        for file in partition.files
        for row in pq.read_table(f"{snapshot.data_root}/{file.path}").to_pylist()
    ]
    order = sorted(range(len(rows)), key=lambda n: (rows[n]["impressed_ms"], n), reverse=True)
    result: dict[str, list] = {f"sequence.history.{key}": [] for key in COLUMNS}
    for row in rows:
        now = row["impressed_ms"]
        events = [
            rows[n]
            for n in order
            if rows[n]["user_id"] == row["user_id"]
            and rows[n]["impressed_ms"] < now
            and rows[n]["request_id"] != row["request_id"]
        ][:50]
        engaged = [event["engaged_ms"] is not None and event["engaged_ms"] <= now for event in events]
        result["sequence.history.item"].append([event["post_id"] for event in events])
        result["sequence.history.actions"].append(
            [
                (event["reply"] + 2 * event["like"]) * known
                for event, known in zip(events, engaged, strict=True)
            ]
        )
        result["sequence.history.dwell"].append(
            [event["dwell_s"] if event["left_ms"] <= now else float("nan") for event in events]
        )
        result["sequence.history.time"].append(
            [float(np.float32((now - event["impressed_ms"]) / 3_600_000)) for event in events]
        )
    return result
