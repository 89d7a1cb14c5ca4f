"""Shares of a dataset's rows: every row goes to one place, once an epoch."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.gather import BufferPool
from recap_model.data.dataset.manifest import MANIFEST_NAME, DatasetManifest
from recap_model.data.dataset.prefetch import DevicePrefetcher, Prefetcher
from recap_model.data.dataset.reader import DatasetReader
from tests.tiny import tiny_config

LENGTHS = ([40, 40, 7], [40, 1], [40, 40, 40, 40, 13])
ROWS = sum(map(sum, LENGTHS))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of record batches of several lengths, whose rows are told apart by their first column."""
    folder = tmp_path_factory.mktemp("dataset")
    files, start = [], 0
    for number, lengths in enumerate(LENGTHS):
        path = folder / f"part-{number}.arrow"
        writer = None
        for length in lengths:
            batch = record_batch(np.arange(start, start + length))
            writer = writer or pa.ipc.new_file(path, batch.schema)
            writer.write_batch(batch)
            start += length
        assert writer is not None
        writer.close()
        file = {"path": path.name, "rows": sum(lengths), "bytes": path.stat().st_size, "sha256": ""}
        files.append(file)
    write_manifest(folder, files, ".")
    return folder


def record_batch(numbers: np.ndarray) -> pa.RecordBatch:
    def lists(values: np.ndarray) -> pa.FixedSizeListArray:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float32).ravel()), 2)

    pairs = np.stack([numbers, numbers], axis=1)
    return pa.record_batch(
        {"continuous": lists(pairs), "labels": lists(pairs % 2), "weight": np.ones(len(numbers), np.float32)}
    )


def write_manifest(folder: Path, files: list[dict[str, object]], root: str) -> None:
    counts = {task: {"rows": ROWS, "positives": ROWS // 2} for task in ("like", "reply")}
    content = {
        "split": "train",
        "rows_root": root,
        "files": files,
        "rows": ROWS,
        "groups": {"continuous": 2},
        "tasks": ["like", "reply"],
        "counts": counts,
        "window": ("2026-03-01", "2026-03-05"),
        "snapshot": "",
        "fingerprint": "",
    }
    (folder / MANIFEST_NAME).write_text(DatasetManifest.model_validate(content).model_dump_json())


def reader_of(folder: Path, batch_size: int, **settings: object) -> DatasetReader:
    return DatasetReader(folder, ["like", "reply"], batch_size, config=tiny_config(), **settings)


def numbers(batches: Iterator[RecapBatch]) -> list[int]:
    return [int(number) for batch in batches for number in batch.continuous[:, 0]]


@given(
    batch_size=st.integers(5, 300),
    processes=st.integers(1, 5),
    epoch=st.integers(0, 3),
    held_out=st.sampled_from([0.0, 0.1, 0.4]),
)
@settings(max_examples=40)
def test_the_shares_of_all_processes_and_the_held_out_rows_are_every_row_once(
    dataset: Path, batch_size: int, processes: int, epoch: int, held_out: float
):
    kept = [
        reader_of(dataset, batch_size, seed=3, held_out=held_out, shard=(rank, processes))
        for rank in range(processes)
    ]
    seen = Counter()
    for reader in kept:
        seen.update(numbers(reader.batches(epoch)))
    # But for a last batch that is too small to be divided.
    assert sum(seen.values()) >= kept[0].rows - processes + 1
    if held_out:
        seen.update(numbers(reader_of(dataset, 50, held_out=held_out, only_held_out=True).batches()))
    assert set(seen.values()) == {1}
    assert set(seen) <= set(range(ROWS))


@given(batch_size=st.integers(2, 100), least=st.integers(1, 30))
@settings(max_examples=20)
def test_every_process_takes_as_many_steps_as_the_reader_says(dataset: Path, batch_size: int, least: int):
    readers = [
        reader_of(dataset, batch_size, seed=1, shard=(rank, 2), min_rows=max(2, min(least, batch_size)))
        for rank in range(2)
    ]
    steps = [len(list(reader.batches(0))) for reader in readers]
    assert steps == [readers[0].steps] * 2


def test_rows_elsewhere_are_the_same_and_only_a_window_of_them_is_held(dataset: Path, tmp_path: Path):
    manifest = DatasetManifest.read(dataset)
    write_manifest(tmp_path, [file.model_dump() for file in manifest.files], dataset.as_uri())
    here, there = reader_of(dataset, 16, seed=1), reader_of(tmp_path, 16, seed=1)
    assert there.rows == ROWS
    for left, right in zip(here.batches(1), there.batches(1), strict=True):
        assert torch.equal(left.continuous, right.continuous)
        assert torch.equal(left.labels, right.labels)


def test_a_batch_that_is_still_held_is_never_written_over(dataset: Path):
    held = list(Prefetcher(reader_of(dataset, 16, seed=1)).batches(0))
    assert sorted(numbers(iter(held))) == list(range(ROWS))
    views = [batch.continuous[:, 0] for batch in reader_of(dataset, 16, seed=1).batches(0)]
    assert sorted(torch.cat(views).tolist()) == list(range(ROWS))


def test_memory_that_nobody_holds_is_given_out_again():
    buffers = BufferPool()
    first = buffers.empty("continuous", (4, 2), np.dtype(np.float32))
    address, view = first.data_ptr(), first[:3]
    del first
    assert buffers.empty("continuous", (4, 2), np.dtype(np.float32)).data_ptr() != address
    del view
    assert buffers.empty("continuous", (4, 2), np.dtype(np.float32)).data_ptr() == address


@pytest.mark.parametrize("seed", [None, 1])
def test_several_threads_make_the_same_batches(dataset: Path, seed: int | None):
    alone, together = (reader_of(dataset, 48, seed=seed, threads=threads) for threads in (1, 3))
    for left, right in zip(alone.batches(2), together.batches(2), strict=True):
        assert torch.equal(left.continuous, right.continuous)
        assert torch.equal(left.labels, right.labels)


def test_batches_for_a_gpu_are_made_in_page_locked_memory(dataset: Path, monkeypatch: pytest.MonkeyPatch):
    expected = list(reader_of(dataset, 48, seed=1).batches(0))
    empty, pinned = torch.empty, []

    def without_a_gpu(shape: tuple[int, ...], dtype: torch.dtype, pin_memory: bool = False) -> torch.Tensor:
        pinned.append(pin_memory)
        return empty(shape, dtype=dtype)

    monkeypatch.setattr(torch, "empty", without_a_gpu)
    found = list(reader_of(dataset, 48, seed=1, pin=True).batches(0))
    assert pinned == [True] * len(expected) * len(expected[0].tensors())
    for left, right in zip(expected, found, strict=True):
        assert torch.equal(left.continuous, right.continuous)
        assert torch.equal(left.labels, right.labels)


def test_batches_on_a_device_are_the_same_to_the_last(dataset: Path):
    reader = reader_of(dataset, 48, seed=1)
    there = DevicePrefetcher(reader, torch.device("cpu"))
    assert there.steps == reader.steps
    for left, right in zip(reader.batches(1, 2), there.batches(1, 2), strict=True):
        assert torch.equal(left.continuous, right.continuous)
    assert list(there.batches(0, reader.steps)) == []


def test_a_file_that_is_cut_off_while_it_is_read_is_named(dataset: Path, tmp_path: Path):
    for path in dataset.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    batches = Prefetcher(reader_of(tmp_path, 8), depth=1).batches(0)
    next(batches)
    os.truncate(tmp_path / "part-2.arrow", 100)
    with pytest.raises(
        ValueError, match=r"part-2\.arrow: has 100 bytes, the manifest says \d+; run prepare again"
    ):
        list(batches)
