"""The training rows split again: validation rows come last, and calibration and test rows are in no set."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.prepare.prepare import prepare_datasets
from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest
from tests.components.snapshots import snapshot_of
from tests.datasets import mark_validated
from tests.tiny import DAY_MS, FIRST_DAY, tiny_config, tiny_rows, write_tiny_log

FEATURES = tiny_config().model_dump(mode="json", exclude_none=True)["features"]
WITHOUT_TIMES = {**FEATURES, "timestamps": {}}


def columns(folder: Path, name: str) -> np.ndarray:
    manifest = DatasetManifest.read(folder)
    files = [pa.ipc.open_file(f"{manifest.rows_root}/{file.path}").read_all() for file in manifest.files]
    return np.sort(pa.concat_tables(files)[name].to_numpy())


def cut(tmp_path: Path, config: RecapConfig) -> list[Path]:
    snapshot = snapshot_of(write_tiny_log(tmp_path / "log", days=6), config, tmp_path / "snapshot")
    outs = [tmp_path / name for name in ("train", "calibration", "validation")]
    prepare_datasets(snapshot, mark_validated(snapshot, tmp_path / "ok"), *outs, within_training=True)
    return outs


@pytest.mark.parametrize(
    ("split", "first_of_others"),
    [
        ({"by": "days", "calibration_days": 1, "test_days": 1}, 4 * 200),
        ({"by": "time", "calibration_share": 0.25, "test_share": 0.25}, 3 * 200),
    ],
)
def test_rows_are_cut_by_time_within_the_training_rows(
    split: dict[str, Any], first_of_others: int, tmp_path: Path
):
    outs = cut(tmp_path, tiny_config(data={"days": 6, "split": split}))
    days = [tiny_rows(day) for day in _days(6)]
    times = np.sort(np.concatenate([table["impressed_ms"].to_numpy() for table in days]))[:first_of_others]
    found = [columns(out, "impressed") for out in outs]
    # Requests that a cut goes through are moved to the later set.
    assert len(np.concatenate(found)) == pytest.approx(first_of_others, abs=10)
    assert np.concatenate(found).max() <= times[-1]
    edges = [int(0.7 * first_of_others), int(0.8 * first_of_others)]
    assert len(found[0]) == pytest.approx(edges[0], abs=10)
    assert len(found[2]) == pytest.approx(first_of_others - edges[1], abs=10)
    assert found[0].max() < times[edges[0]] + DAY_MS / 100
    assert np.median(found[2]) > found[1].max()


def test_rows_without_times_are_cut_by_days(tmp_path: Path):
    outs = cut(tmp_path, tiny_config(features=WITHOUT_TIMES, data={"days": 6}))
    posts = [set((columns(out, "candidate") // 100_000).tolist()) for out in outs]
    first = _days(1)[0].toordinal()
    assert posts == [{first, first + 1}, {first + 2}, {first + 3}]


def test_rows_of_one_day_are_cut_by_a_hash_of_an_id(tmp_path: Path):
    data = {"days": 6, "split": {"by": "days", "calibration_days": 2, "test_days": 2}}
    outs = cut(tmp_path, tiny_config(features={**WITHOUT_TIMES, "ids": {"user": "user_id"}}, data=data))
    users = [set(columns(out, "user").tolist()) for out in outs]
    assert not users[0] & users[2]
    assert sum(DatasetManifest.read(out).rows for out in outs) == 2 * 200


def test_rows_that_nothing_orders_or_names_cannot_be_cut(tmp_path: Path):
    config = tiny_config(
        features={**WITHOUT_TIMES, "ids": {}},
        data={"days": 6, "split": {"by": "days", "calibration_days": 2, "test_days": 2}},
    )
    with pytest.raises(ValueError, match=r"^features: no impression time .*, no id .*, and under three days"):
        cut(tmp_path, config)


def _days(count: int) -> list[date]:
    return [FIRST_DAY + timedelta(days=offset) for offset in range(count)]
