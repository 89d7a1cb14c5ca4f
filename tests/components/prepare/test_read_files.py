"""The same bytes however the log's files are cut into groups, and no part of one left behind."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.artifacts.snapshot import Snapshot
from components.common.storage.file_groups import split_files
from components.prepare.prepare import prepare_datasets
from tests.components.prepare.conftest import grouped_config
from tests.components.snapshots import snapshot_of
from tests.datasets import mark_validated


def built(folder: Path, log: Path, groups: int) -> dict[str, bytes]:
    """Every file of the three sets, by its path."""
    snapshot = snapshot_of(log, grouped_config(), folder / "snapshot")
    validated = mark_validated(snapshot, folder / "validated")
    outs = [folder / "sets" / name for name in ("train", "calibration", "test")]
    prepare_datasets(snapshot, validated, *outs, groups=groups)
    paths = (path for path in (folder / "sets").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_one_two_and_five_groups_make_the_same_bytes(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
):
    # Several files in the training set of so few rows.
    monkeypatch.setattr("components.prepare.prepare._ROWS_PER_SHARD", 500)
    one, two, five = (built(tmp_path / str(groups), log, groups) for groups in (1, 2, 5))
    assert sum("train.rows/part-" in name for name in one) == 3
    assert not [name for name in five if "_part" in name]
    assert one == two == five


def test_groups_are_files_in_the_logs_order_with_about_as_many_rows(tmp_path: Path, log: Path):
    snapshot, _ = Snapshot.read(snapshot_of(log, grouped_config(), tmp_path / "snapshot"))
    for wanted, expected in ((1, 1), (2, 2), (5, 5), (100, 15)):
        groups = split_files(snapshot, wanted)
        assert len(groups) == expected
        assert [file for group in groups for file in group.files] == [
            (partition, file) for partition in snapshot.partitions for file in partition.files
        ]
        firsts = np.cumsum([0, *(group.rows for group in groups)])
        assert [group.first_row for group in groups] == firsts[:-1].tolist()
        assert max(group.rows for group in groups) - min(group.rows for group in groups) <= 100


def test_what_a_process_cannot_read_is_one_line_and_leaves_nothing(tmp_path: Path, log: Path):
    folder = tmp_path / "broken"
    snapshot = snapshot_of(log, grouped_config(), folder / "snapshot")
    validated = mark_validated(snapshot, folder / "validated")
    file = log / "date=2026-03-04" / "part-00001.parquet"
    whole = file.read_bytes()
    rows = pq.read_table(file)
    pq.write_table(rows.set_column(0, "request_id", pa.array(np.arange(len(rows)))), file)
    outs = [folder / "sets" / name for name in ("train", "calibration", "test")]
    message = (
        r"^date=2026-03-04/part-00001\.parquet: changed since resolve froze the log; run the pipeline again$"
    )
    try:
        for groups in (1, 2):
            with pytest.raises(ValueError, match=message):
                prepare_datasets(snapshot, validated, *outs, groups=groups)
            assert not list((folder / "sets").iterdir())
    finally:
        file.write_bytes(whole)
