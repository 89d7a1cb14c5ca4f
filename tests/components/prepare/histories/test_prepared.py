"""Histories in the sets that prepare writes: each row has its own, whatever was sampled, shuffled and left out."""

from pathlib import Path

import pyarrow.parquet as pq

from recap_model.config import parse_config
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.reader import DatasetReader
from tests.components.prepare.tables import table
from tests.datasets import build_tiny
from tests.tiny import TASKS, tiny_config, write_tiny_log


def test_each_row_has_the_history_of_its_own_impression(tmp_path: Path):
    content = tiny_config().model_dump(mode="json")
    derived = {"columns": {"item": "post_id", "time": {"kind": "time"}}, "max_length": 4}
    content["features"]["derived_sequences"] = {"history": derived}
    content["data"] |= {"deduplicate": {}, "negative_downsampling": {"rate": 0.5}}
    config = parse_config(content)
    log = write_tiny_log(tmp_path / "log", days=5, rows=100, files=2)
    sets = build_tiny(tmp_path, config, log)
    rows = [row for path in sorted(log.rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    rows.sort(key=lambda row: row["impressed_ms"])
    some = 0
    for split in (sets.train, sets.calibration, sets.test):
        assert DatasetManifest.read(split).sequences == config.features.all_sequences()
        for row in table(split).to_pylist():
            earlier = [
                other["post_id"]
                for other in reversed(rows)
                if other["user_id"] == row["user"]
                and other["impressed_ms"] < row["impressed"]
                and other["request_id"] != row["request"]
            ]
            assert row["sequence.history.item"] == earlier[:4]
            some += len(earlier) >= 4
    assert some > 100
    batch = next(DatasetReader(sets.train, list(TASKS), 32, config=config, seed=1).batches())
    assert batch.sequences is not None
    assert batch.sequences["history"]["item"].shape == (32, 4)
    assert not list(Path(f"{sets.train}.rows").glob("*scratch*"))
