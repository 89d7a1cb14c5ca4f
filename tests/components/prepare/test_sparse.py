"""Lists of ids from the log through prepare and the reader into the net, and the same scores from the log itself."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from components.train.train import train_model
from recap_model import load_model
from recap_model.data.dataset.reader import DatasetReader
from recap_model.scoring import score_rows
from tests.datasets import TinySets, build_tiny
from tests.tiny import TASKS, sparse_config, with_lists, write_tiny_log

CONFIG = sparse_config(
    training={"batch_size": 64, "epochs": 4}, optimizer={"single_task_learning_rate": {"constant": 0.05}}
)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Likes follow from the ids: who saw 7 likes, nobody else does."""
    log = write_tiny_log(tmp_path_factory.mktemp("sparse") / "log", days=5, rows=300)
    for file in log.rglob("*.parquet"):
        rows = with_lists(pq.read_table(file))
        likes = pa.array([int(7 in (ids or [])) for ids in rows["seen"].to_pylist()], pa.int8())
        pq.write_table(rows.set_column(rows.column_names.index("like"), "like", likes), file)
    return log


@pytest.fixture(scope="module")
def sets(log: Path) -> TinySets:
    return build_tiny(log.parent, CONFIG, log)


@pytest.mark.parametrize("rows_together", [1, 7])
def test_the_lists_of_shuffled_batches_are_those_of_their_rows(
    rows_together: int, sets: TinySets, monkeypatch: pytest.MonkeyPatch
):
    # Sets of 16,384 rows and more are read in runs of several rows.
    monkeypatch.setattr("recap_model.data.dataset.reader._RUNS", 900 / rows_together)
    monkeypatch.setattr("recap_model.data.dataset.reader._RUNS_IN_A_BATCH", 1)
    reader = DatasetReader(sets.train, list(TASKS), 64, config=CONFIG, seed=3)
    batches = list(reader.batches())
    assert sum(map(len, batches)) == reader.rows == 900
    for batch in batches:
        assert batch.labels is not None
        assert batch.sparse is not None
        assert torch.equal((batch.sparse["seen"] == 7).any(dim=1), batch.labels[:, 0] > 0.5)
    together = {tuple(row) for batch in batches for row in batch.tensors()["continuous"].tolist()}
    in_order = next(DatasetReader(sets.train, list(TASKS), 900, config=CONFIG).batches())
    assert together == {tuple(row) for row in in_order.tensors()["continuous"].tolist()}


def test_a_trained_net_learns_from_the_lists_and_scores_them_alike_from_set_and_log(
    log: Path, sets: TinySets, tmp_path: Path
):
    train_model(sets.snapshot, sets.train, tmp_path / "model")
    model = load_model(tmp_path / "model")
    reader = DatasetReader(sets.test, model.tasks, 64, config=CONFIG)
    with torch.inference_mode():
        outputs = [model(batch) for _, batch in reader.batches_with_rows()]
    found = torch.cat([output["calibrated_probabilities"] for output in outputs])[:, 0].numpy()
    rows = pq.read_table(log / "date=2026-03-05" / "part-00000.parquet")
    np.testing.assert_allclose(score_rows(model, rows)[:, 0], found, rtol=1e-5, atol=1e-6)
    liked = rows["like"].to_numpy() > 0
    assert found[liked].min() > found[~liked].max()
