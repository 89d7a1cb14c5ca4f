"""Sequences from the log through prepare and the reader: ragged on disk, padded in a batch, newest events first."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from components.common.engine.local import LocalEngine
from components.common.storage.rows_at_once import rows_at_once
from components.prepare.prepare import prepare_datasets
from recap_model.config.data.sequences import Sequence
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.dataset.sequences import RaggedColumns, pad_sequence
from recap_model.data.log.schema import sequence_columns
from tests.components.prepare.tables import table
from tests.datasets import TinySets, build_tiny
from tests.tiny import TASKS, sequence_config, with_histories, write_tiny_log

CONFIG = sequence_config()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> TinySets:
    folder = tmp_path_factory.mktemp("sequences")
    log = write_tiny_log(folder / "log", days=5, rows=300, files=2)
    for file in log.rglob("*.parquet"):
        pq.write_table(with_histories(pq.read_table(file)), file)
    return build_tiny(folder, CONFIG, log)


def histories(batch: RecapBatch) -> dict[str, torch.Tensor]:
    assert batch.sequences is not None
    return dict(batch.sequences["history"])


def test_a_set_has_the_newest_events_of_each_row_ragged(sets: TinySets):
    rows = table(sets.train)
    lists = rows["sequence.history.item"].to_pylist()
    assert sorted({len(items) for items in lists}) == [0, 1, 2, 3, 4]
    for post, items in zip(rows["candidate"].to_pylist(), lists, strict=True):
        assert items == list(range(post, post - len(items), -1))
    newest = [post % 3 for post, items in zip(rows["candidate"].to_pylist(), lists, strict=True) if items]
    bits = [bits[0] for bits in rows["sequence.history.actions"].to_pylist() if bits]
    assert bits == [[1, 3, 0][kind] for kind in newest]
    hours = [hours for hours in rows["sequence.history.time"].to_pylist() if hours]
    assert all(found == pytest.approx(range(1, len(found) + 1)) for found in hours)
    assert DatasetManifest.read(sets.train).sequences == CONFIG.features.sequences


@pytest.mark.parametrize("rows_together", [1, 7])
def test_the_histories_of_shuffled_batches_are_those_of_their_rows(
    rows_together: int, sets: TinySets, monkeypatch: pytest.MonkeyPatch
):
    # Sets of 16,384 rows and more are read in runs of several rows.
    monkeypatch.setattr("recap_model.data.dataset.reader._RUNS", 900 / rows_together)
    monkeypatch.setattr("recap_model.data.dataset.reader._RUNS_IN_A_BATCH", 1)

    def read(seed: int | None, held_out: float = 0.0) -> set[tuple]:
        reader = DatasetReader(sets.train, list(TASKS), 64, config=CONFIG, seed=seed, held_out=held_out)
        found = set()
        for batch in reader.batches():
            history = histories(batch)
            assert history["item"].shape[1] == max(1, int(history["length"].max()))
            for row in range(len(batch)):
                length = int(history["length"][row])
                assert (history["item"][row, length:] == -1).all()
                assert (history["actions"][row, length:] == 0).all()
                assert history["dwell"][row, length:].isnan().all()
                assert history["time"][row, length:].isnan().all()
                events = [history[key][row, :length] for key in ("item", "actions", "dwell", "time")]
                inputs = tuple(batch.tensors()["continuous"][row].tolist())
                found.add((inputs, *(str(column.tolist()) for column in events)))
        assert len(found) == reader.rows
        return found

    in_order = read(None)
    assert read(3) == in_order
    assert read(3, held_out=0.3) < in_order


def test_batches_with_rows_have_the_same_histories(sets: TinySets):
    reader = DatasetReader(sets.test, list(TASKS), 64, config=CONFIG)
    for (rows, with_rows), batch in zip(reader.batches_with_rows(), reader.batches(), strict=True):
        for key, array in histories(batch).items():
            torch.testing.assert_close(histories(with_rows)[key], array, equal_nan=True)
        assert histories(batch)["length"].tolist() == list(
            map(len, rows.column("sequence.history.item").to_pylist())
        )


def test_actions_beyond_eight_are_read_by_their_bit():
    values = [f"a{number}" for number in range(63)]
    sequence = Sequence.model_validate(
        {"columns": {"a": {"column": "x", "kind": "actions", "values": values}}}
    )
    bits = np.array([1 << 62 | 1 << 8, 1 << 5])
    ragged = RaggedColumns(np.array([0, 2, 2]), {"a": bits})
    padded = pad_sequence([(ragged, np.arange(2))], sequence)
    assert padded["a"].shape == (2, 2, 63)
    assert [np.flatnonzero(event).tolist() for event in padded["a"].reshape(4, 63)] == [[8, 62], [5], [], []]


def test_the_bytes_of_a_set_do_not_depend_on_the_number_of_processes(sets: TinySets, tmp_path: Path):
    outs = [tmp_path / split for split in ("train", "calibration", "test")]
    with LocalEngine(2) as engine:
        prepare_datasets(sets.snapshot, sets.validated, *outs, engine=engine)
    for out, here in zip(outs, (sets.train, sets.calibration, sets.test), strict=True):
        assert DatasetManifest.read(out).fingerprint == DatasetManifest.read(here).fingerprint


def test_a_row_whose_lists_do_not_fit_together_is_named_with_its_row_group(tmp_path: Path):
    log = write_tiny_log(tmp_path / "log", days=5, rows=30)
    for file in log.rglob("*.parquet"):
        rows = with_histories(pq.read_table(file))
        if "03-04" in str(file):
            dwell = rows["hist_dwell"].to_pylist()
            dwell[23] = [*dwell[23], 1.0]
            place = rows.column_names.index("hist_dwell")
            rows = rows.set_column(place, "hist_dwell", pa.array(dwell, pa.list_(pa.float32())))
        pq.write_table(rows, file, row_group_size=10)
    with pytest.raises(
        ValueError, match=r"date=2026-03-04/.*: row group 2, row 3: column hist_dwell has a list of"
    ):
        build_tiny(tmp_path, CONFIG, log)


def test_long_histories_are_read_few_rows_at_a_time(tmp_path: Path):
    columns = list(sequence_columns(CONFIG.features.sequences["history"], "features"))
    rows = {"hist_ids": [list(range(50_000))] * 20, "hist_dwell": [[]] * 20}
    pq.write_table(pa.table(rows), tmp_path / "long.parquet")
    with pq.ParquetFile(tmp_path / "long.parquet") as file:
        assert 300 <= rows_at_once(file, columns, 16_384) <= 336
    pq.write_table(pa.table({"hist_ids": [[1, 2]]}), tmp_path / "short.parquet")
    with pq.ParquetFile(tmp_path / "short.parquet") as file:
        assert rows_at_once(file, columns, 16_384) == 16_384
