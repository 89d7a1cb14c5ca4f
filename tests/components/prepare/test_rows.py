"""What becomes of single rows: copies left out, lists sliced, labels completed, features from later refused."""

import math
import time
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.artifacts.snapshot import Snapshot
from components.prepare.id_forms import IdForms
from components.prepare.rows import read_file, to_rows
from components.register.load_test_rows import to_columns
from recap_model.config import ConfigError
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.log.column_roles import LogColumn
from recap_model.data.log.feature_groups import read_groups
from tests.components.prepare.tables import table
from tests.components.snapshots import snapshot_of
from tests.datasets import build_tiny
from tests.tiny import DAY_MS, tiny_config, tiny_rows, write_tiny_log

FILE = "date=2026-03-05/part-00000.parquet"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_tiny_log(tmp_path / "log", days=5, rows=200)


@pytest.mark.parametrize(("keep", "likes"), [("first", 1.0), ("last", 2.0)])
@pytest.mark.parametrize("rows_per_shard", [2_000_000, 300])
def test_of_rows_with_one_request_and_candidate_one_stays(
    tmp_path: Path, log: Path, keep: str, likes: float, rows_per_shard: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("components.prepare.shards.layout._ROWS_PER_REQUESTS", rows_per_shard)
    rows = pq.read_table(log / FILE)
    place = rows.column_names.index("likes")
    for number in (1.0, 2.0):
        copies = rows.set_column(place, "likes", pa.array(np.full(len(rows), number, np.float32)))
        pq.write_table(copies, log / FILE.replace("00000", f"0000{number:.0f}"))
    (log / FILE).unlink()
    sets = build_tiny(tmp_path, tiny_config(data={"days": 5, "deduplicate": {"keep": keep}}), log)
    built = table(sets.test)
    assert sorted(built["candidate"].to_pylist()) == sorted(rows["post_id"].to_pylist())
    assert {values[1] for values in built["continuous"].to_pylist()} == {likes}


def test_ids_that_are_text_tell_rows_apart_too(tmp_path: Path, log: Path):
    for file in log.rglob("*.parquet"):
        rows = pq.read_table(file)
        for name in ("request_id", "post_id"):
            rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(pa.string()))
        pq.write_table(pa.concat_tables([rows, rows.slice(0, 7)]), file)
    sets = build_tiny(tmp_path, tiny_config(data={"days": 5, "deduplicate": {}}), log)
    assert len(table(sets.train)) == 600
    assert len(table(sets.test)) == 200


def test_deduplication_without_ids_is_refused_at_the_config():
    features = tiny_config().features.model_dump() | {"ids": {"user": "user_id"}}
    with pytest.raises(ConfigError, match=r"features\.ids\.candidate: needed by data\.deduplicate"):
        tiny_config(features=features, data={"deduplicate": {}})


def test_only_the_named_ranges_of_a_list_are_read(tmp_path: Path, log: Path):
    features = tiny_config().features.model_dump()
    features["user_embedding"] = {"column": "user_embedding", "width": 4, "slices": [[3, 4], [0, 2]]}
    config = tiny_config(features=features)
    sets = build_tiny(tmp_path, config, log)
    logged = np.array(pq.read_table(log / FILE)["user_embedding"].to_pylist(), dtype=np.float32)
    built = np.array(table(sets.test)["user_embedding"].to_pylist(), dtype=np.float32)
    assert np.array_equal(built, logged[:, [3, 0, 1]])

    rows = next(DatasetReader(sets.test, ["like"], 200, config=tiny_config()).batches_with_rows())[0]
    again = read_groups(to_columns(rows, config.features), config.features, "again")
    assert np.array_equal(again["user_embedding"], logged[:, [3, 0, 1]])


@pytest.mark.parametrize("slices", [[[0, 5]], [[2, 2]], [[0, 2], [1, 3]], []])
def test_ranges_that_do_not_fit_the_list_are_refused(slices: list[list[int]]):
    features = tiny_config().features.model_dump()
    features["user_embedding"] = {"column": "user_embedding", "width": 4, "slices": slices}
    with pytest.raises(ConfigError, match=r"features\.user_embedding\.slices: "):
        tiny_config(features=features)


def test_features_from_after_the_impression_are_refused(tmp_path: Path, log: Path):
    features = tiny_config().features.model_dump()
    features["timestamps"] |= {"computed": "computed_ms"}
    for file in log.rglob("*.parquet"):
        rows = pq.read_table(file)
        computed = rows["impressed_ms"].to_numpy() - DAY_MS
        pq.write_table(rows.append_column("computed_ms", pa.array(computed)), file)
    config = tiny_config(features=features)
    assert len(table(build_tiny(tmp_path / "clean", config, log).test)) == 200
    rows = pq.read_table(log / FILE)
    computed = rows["computed_ms"].to_pylist()
    computed[3], computed[4] = None, rows["impressed_ms"][4].as_py() + 7
    pq.write_table(rows.set_column(len(rows.column_names) - 1, "computed_ms", pa.array(computed)), log / FILE)
    with pytest.raises(ValueError, match=f"^{FILE}: column computed_ms is 7 ms after impressed_ms in 1 rows"):
        build_tiny(tmp_path / "planted", config, log)


def test_timestamps_make_the_same_sets_as_milliseconds(tmp_path: Path, log: Path):
    config = tiny_config(data={"days": 5, "rectify_labels": {"window_hours": 3.0}, "split": {"by": "time"}})
    (tmp_path / "numbers").mkdir()
    expected = build_tiny(tmp_path / "numbers", config, log)
    for file in sorted(log.rglob("*.parquet"))[1:]:  # one file has numbers still
        rows = pq.read_table(file)
        rows = rows.set_column(
            rows.column_names.index("user_id"), "user_id", rows["user_id"].cast(pa.int32())
        )
        for name in ("served_ms", "impressed_ms", "engaged_ms"):
            stamps = rows[name].cast(pa.timestamp("ms")).cast(pa.timestamp("us"))
            rows = rows.set_column(rows.column_names.index(name), name, stamps)
        pq.write_table(rows, file)
    (tmp_path / "stamps").mkdir()
    found = build_tiny(tmp_path / "stamps", config, log)
    for split in ("train", "calibration", "test"):
        assert table(getattr(found, split)).equals(table(getattr(expected, split)))


def test_what_cannot_have_happened_is_a_negative_and_no_missing_label():
    config = tiny_config(tasks={"read": {"given": "reply"}, "like": {}, "reply": {"given": "like"}})
    labels = {"like": [0, 0, 1, 1, None, 1], "reply": [None, None, None, 0, None, 1]}
    batch = tiny_rows(date(2026, 3, 1), rows=6).to_batches()[0]
    for name, values in (labels | {"read": [None, 1, None, None, None, None]}).items():
        column = pa.array(values, pa.int8())
        place = batch.schema.get_field_index(name)
        batch = batch.append_column(name, column) if place < 0 else batch.set_column(place, name, column)
    found = to_rows(batch, config, IdForms({}), "f", 0).labels
    missing = math.nan
    expected = [
        (0, 0, 0),
        (1, 0, 0),
        (missing, 1, missing),
        (0, 1, 0),
        (missing, missing, missing),
        (missing, 1, 1),
    ]
    np.testing.assert_array_equal(found, expected)


def test_a_file_of_many_columns_is_read_in_time_that_grows_as_they_do(tmp_path: Path):
    names = [f"c{number}" for number in range(2000)]
    columns = [LogColumn(name, "continuous", "features.continuous") for name in names]
    (tmp_path / "log" / "date=2026-03-01").mkdir(parents=True)
    pq.write_table(pa.table({name: [1.0] for name in names}), tmp_path / "log/date=2026-03-01/a.parquet")
    snapshot, _ = Snapshot.read(snapshot_of(tmp_path / "log", tiny_config(), tmp_path / "snapshot"))
    begun = time.process_time()
    (batch,) = read_file(snapshot, snapshot.partitions[0].files[0], columns)
    assert batch.num_columns == 2000
    assert time.process_time() - begun < 2.0  # a look at the schema for each column takes 9 s
