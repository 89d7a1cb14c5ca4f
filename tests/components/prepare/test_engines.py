"""The same bytes of every set, whatever prepares them; and nothing left of what is killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.artifacts.snapshot import LogFile, Partition, Snapshot
from components.common.engine import Engine
from components.common.engine.local import LocalEngine
from components.common.storage.file_groups import split_files
from components.prepare import read_files
from components.prepare.prepare import prepare_datasets
from components.prepare.requests import RequestRows
from components.prepare.shards.layout import ShardLayout
from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest
from tests.components.prepare.conftest import DATA, grouped_config
from tests.components.snapshots import snapshot_of
from tests.datasets import mark_validated
from tests.spark import local_spark

SETS = ("train", "calibration", "test")
SPLITS: dict[str, dict[str, object]] = {
    "days": {"by": "days"},
    "time": {"by": "time"},
    "hash": {"by": "hash", "column": "user_id"},
    "column": {"by": "column", "column": "set"},
}


@pytest.fixture(scope="module")
def log(log: Path) -> Path:
    """The log with duplicates, requests across files and days, rows without a request, and a column of sets."""
    for number, file in enumerate(sorted(log.rglob("*.parquet"))):
        random, rows = np.random.default_rng(number), pq.read_table(file)
        requests, posts = (rows[name].to_numpy().copy() for name in ("request_id", "post_id"))
        repeated = random.integers(0, len(rows), 20)
        requests[repeated], posts[repeated] = random.integers(0, 9, 20), random.integers(0, 3, 20)
        rows = rows.set_column(0, "request_id", pa.array(requests, mask=np.arange(len(rows)) % 13 == 0))
        rows = rows.set_column(2, "post_id", pa.array(posts))
        words = np.array(SETS)[random.integers(0, 3, len(rows))]
        pq.write_table(rows.append_column("set", pa.array(words)), file)
    return log


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files in each set of so few rows."""
    for name, rows in (("FILE", 500), ("VOCABULARY", 700), ("REQUESTS", 700)):
        monkeypatch.setattr(f"components.prepare.shards.layout._ROWS_PER_{name}", rows)
    monkeypatch.setattr("components.prepare.shards.layout._ROWS_OF_ONE_HELD_OUT_FILE", 1000)
    monkeypatch.setattr("components.prepare.histories.join._ROWS_PER_SHARD", 500)


def config_of(split: str, keep: str) -> RecapConfig:
    config = grouped_config()
    data = {**DATA, "split": SPLITS[split], "deduplicate": {"keep": keep}}
    return config.model_copy(update={"data": type(config.data).model_validate(data)})


def frozen(folder: Path, log: Path, config: RecapConfig) -> tuple[Path, Path]:
    """A snapshot, and what says that it is valid."""
    snapshot = snapshot_of(log, config, folder / "snapshot")
    return snapshot, mark_validated(snapshot, folder / "validated")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def prepared(inputs: tuple[Path, Path], out: Path, engine: Engine) -> dict[str, bytes]:
    """Every file of the three sets, by its path."""
    prepare_datasets(*inputs, *(out / name for name in SETS), engine=engine)
    return contents(out)


@pytest.mark.slow
def test_any_engine_makes_the_same_bytes_of_any_split(tmp_path: Path, log: Path):
    days, time, by_hash, column = ("days", "first"), ("time", "last"), ("hash", "first"), ("column", "last")
    cases = (days, time, by_hash, column)
    inputs = {case: frozen(tmp_path / case[0], log, config_of(*case)) for case in cases}
    expected: dict[tuple[str, str], dict[str, bytes]] = {}
    for engine, compared in (
        (LocalEngine(1), cases),
        (LocalEngine(2), (days, by_hash)),
        (LocalEngine(5), (days,)),
        (local_spark(), (time, column)),
    ):
        with engine as running:
            for case in compared:
                files = prepared(inputs[case], tmp_path / case[0] / str(id(running)), running)
                assert files == expected.setdefault(case, files), (running, case)
    for files in expected.values():
        assert sum(path.startswith("train.rows/part-") for path in files) == 3
    assert sum(path.startswith("test.rows/part-") for path in expected[column]) == 3


def test_held_out_files_keep_the_order_of_the_log(tmp_path: Path, log: Path):
    with LocalEngine(1) as engine:
        prepared(frozen(tmp_path, log, config_of("column", "first")), tmp_path / "sets", engine)
    manifest = DatasetManifest.read(tmp_path / "sets" / "test")
    files = [pa.ipc.open_file(f"{manifest.rows_root}/{file.path}").read_all() for file in manifest.files]
    days = pa.concat_tables(files)["impressed"].to_numpy() // 86_400_000
    assert len(files) == 3
    assert (np.diff(days) >= 0).all()


def test_a_log_of_any_length_has_as_many_files_as_its_rows_ask_for_and_at_most_4096_a_set(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.undo()

    def files(rows: int, split: str) -> tuple[int, int, int]:
        snapshot = Snapshot.model_construct(partitions=[])
        monkeypatch.setattr(Snapshot, "rows", rows)
        layout = ShardLayout.of(snapshot, config_of(split, "first"))
        return layout.train, layout.calibration, layout.test

    assert files(0, "days") == files(250_000, "days") == (1, 1, 1)
    assert files(4_000_000, "days") == (16, 1, 1)
    assert files(1_000_000_000, "days") == (4_000, 4_000, 4_000)
    assert files(5_000_000_000, "days") == (4_096, 4_096, 4_096)
    assert files(5_000_000_000, "hash") == (4_096, 2_000, 4_000)


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


@pytest.mark.parametrize(("rows", "groups"), [(10, 64), (5_000, 100), (100_000, 2_000)])
def test_thousands_of_small_files_are_read_in_few_groups(rows: int, groups: int):
    files = [LogFile(path=f"{number}.parquet", bytes=1, row_count=rows) for number in range(2_000)]
    snapshot = Snapshot.model_construct(partitions=[Partition(name="date=2026-03-01", files=files)])
    assert len(split_files(snapshot, 10_000)) == groups


def test_what_a_process_cannot_read_is_one_line_and_leaves_nothing(tmp_path: Path, log: Path):
    inputs = frozen(tmp_path, log, grouped_config())
    file = log / "date=2026-03-04" / "part-00001.parquet"
    whole = file.read_bytes()
    rows = pq.read_table(file)
    pq.write_table(rows.set_column(0, "request_id", pa.array(np.arange(len(rows)))), file)
    message = (
        r"^date=2026-03-04/part-00001\.parquet: changed since resolve froze the log; run the pipeline again$"
    )
    try:
        for processes in (1, 2):
            with pytest.raises(ValueError, match=message), LocalEngine(processes) as engine:
                prepared(inputs, tmp_path / "sets", engine)
            assert not list((tmp_path / "sets").iterdir())
    finally:
        file.write_bytes(whole)


@pytest.fixture
def died(tmp_path: Path) -> Path:
    return tmp_path / "died"


class KilledKernel:
    """A kernel whose process is killed in the middle of its second item, once."""

    def __init__(self, kernel: Any, died: Path) -> None:
        self._kernel, self._died = kernel, died

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_kernel"], name)

    def __call__(self, item: Any) -> Iterator[Any]:
        for rows in self._kernel(item):
            if not self._died.exists():
                self._died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield rows
        return None


@pytest.mark.parametrize("verb", ["requests", "rows"])
def test_a_killed_process_is_one_line_and_leaves_nothing_and_a_rerun_finishes(
    tmp_path: Path, log: Path, died: Path, verb: str, monkeypatch: pytest.MonkeyPatch
):
    inputs = frozen(tmp_path, log, grouped_config())
    kernel = {"requests": RequestRows, "rows": read_files.RowsToShards}[verb]
    monkeypatch.setattr(
        f"components.prepare.prepare.{kernel.__name__}",
        lambda *arguments: KilledKernel(kernel(*arguments), died),
    )
    with (
        pytest.raises(ChildProcessError, match=r"^a process that reads the log was killed") as raised,
        LocalEngine(2) as engine,
    ):
        prepared(inputs, tmp_path / "sets", engine)
    assert "\n" not in str(raised.value)
    assert died.exists()
    assert not list((tmp_path / "sets").iterdir())
    monkeypatch.undo()
    with LocalEngine(2) as engine:
        again = prepared(inputs, tmp_path / "sets", engine)
    assert set(again) == set(contents(tmp_path / "sets"))
