"""Batches of a dataset: every row once, in an order that follows from seed and epoch."""

import os
from pathlib import Path

import pytest
import torch

from recap_model.data.dataset.reader import DatasetReader
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log

TASKS = ["like", "reply"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> TinySets:
    folder = tmp_path_factory.mktemp("sets")
    return build_tiny(folder, tiny_config(), write_tiny_log(folder / "log"))


def embeddings(batches) -> torch.Tensor:
    """A tensor that tells rows apart."""
    return torch.cat([batch.user_embedding for batch in batches])


def test_an_epoch_has_every_row_once_in_batches_of_the_stated_size(sets: TinySets):
    reader = DatasetReader(sets.train, TASKS, 64, config=tiny_config(), seed=1)
    batches = list(reader.batches(epoch=0))
    assert [len(batch) for batch in batches] == [64] * 9 + [24]
    assert (reader.rows, reader.steps) == (600, 10)
    in_order = embeddings(DatasetReader(sets.train, TASKS, 64, config=tiny_config()).batches())
    shuffled = embeddings(batches)
    assert not torch.equal(shuffled, in_order)
    assert torch.equal(shuffled.unique(dim=0), in_order.unique(dim=0))


def test_a_set_of_more_files_than_may_be_open_is_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("components.prepare.shards.layout._ROWS_PER_FILE", 60)
    many = build_tiny(tmp_path, tiny_config(), write_tiny_log(tmp_path / "log"))

    def epochs() -> list[torch.Tensor]:
        reader = DatasetReader(many.train, TASKS, 64, config=tiny_config(), seed=1)
        reader.verify()
        read = [embeddings(reader.batches(epoch)) for epoch in range(2)]
        assert open_files() <= limit
        in_order = embeddings(batch for _, batch in reader.batches_with_rows())
        for threads in (1, 5):
            assert torch.equal(embeddings(reader.map_batches(lambda _, batch: batch, threads)), in_order)
        return [*read, in_order]

    def open_files() -> int:
        links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
        return sum(link.startswith(str(many.train.parent / "train.rows")) for link in links)

    limit = 17
    expected = epochs()
    limit = 3
    monkeypatch.setattr("recap_model.data.dataset.record_batches._MAX_OPEN_FILES", limit)
    assert len(list((many.train.parent / "train.rows").glob("*.arrow"))) == 17
    assert all(torch.equal(*pair) for pair in zip(epochs(), expected, strict=True))


def test_the_order_follows_from_seed_and_epoch(sets: TinySets):
    def order(seed: int, epoch: int) -> torch.Tensor:
        reader = DatasetReader(sets.train, TASKS, 50, config=tiny_config(), seed=seed)
        return embeddings(reader.batches(epoch))

    assert torch.equal(order(1, 0), order(1, 0))
    assert not torch.equal(order(1, 0), order(1, 1))
    assert not torch.equal(order(1, 0), order(2, 0))


def test_skipping_goes_on_just_where_an_interrupted_epoch_stopped(sets: TinySets):
    reader = DatasetReader(sets.train, TASKS, 64, config=tiny_config(), seed=1)
    whole = embeddings(reader.batches(epoch=3))
    assert torch.equal(embeddings(reader.batches(epoch=3, skip=4)), whole[256:])


def test_labels_are_bound_to_tasks_by_name(sets: TinySets):
    first = next(DatasetReader(sets.train, TASKS, 600, config=tiny_config()).batches())
    turned = next(DatasetReader(sets.train, TASKS[::-1], 600, config=tiny_config()).batches())
    assert torch.equal(first.labels, turned.labels.flip(1))
    assert not torch.equal(first.labels, turned.labels)
    with pytest.raises(ValueError, match="no labels for task repost; it has like, reply"):
        DatasetReader(sets.train, ["repost"], 64, config=tiny_config())


def test_weights_bring_a_sampled_log_back_to_its_natural_distribution(sets: TinySets):
    tasks = {"like": {"pos_downsampling_rate": 0.5, "neg_downsampling_rate": 0.1}, "reply": {}}
    config = tiny_config(tasks=tasks)
    batch = next(DatasetReader(sets.train, TASKS, 600, config=config).batches())
    expected = torch.where(batch.labels[:, 0] > 0.5, 2.0, 10.0)
    assert torch.equal(batch.weights[:, 0], expected)
    assert torch.equal(batch.weights[:, 1], torch.ones(600))
    by_calibration = tiny_config(tasks=tasks, data={"days": 5, "sampling_correction": "calibration"})
    reader = DatasetReader(sets.train, TASKS, 600, config=by_calibration, weighting="training")
    assert torch.equal(next(reader.batches()).weights, torch.ones(600, 2))


def test_ids_come_beside_the_rows_they_belong_to(sets: TinySets):
    reader = DatasetReader(sets.test, TASKS, 64, config=tiny_config())
    pairs = list(reader.batches_with_rows())
    assert sum(rows.num_rows for rows, _ in pairs) == reader.rows
    assert all(rows.num_rows == len(batch) for rows, batch in pairs)
    assert {"request", "user", "candidate", "impressed"} <= set(pairs[0][0].schema.names)


def test_work_on_batches_is_at_most_two_a_thread_ahead_and_its_error_is_raised(sets: TinySets):
    reader = DatasetReader(sets.train, TASKS, 10, config=tiny_config())
    begun: list[int] = []
    mapped = reader.map_batches(lambda rows, batch: begun.append(len(batch)), threads=2)
    next(mapped)
    assert 4 >= len(begun) >= 1
    mapped.close()
    with pytest.raises(ZeroDivisionError):
        list(reader.map_batches(lambda rows, batch: 1 / 0, threads=2))


def test_a_truncated_an_altered_and_a_missing_file_are_each_named(tmp_path: Path):
    sets = build_tiny(tmp_path, tiny_config(), write_tiny_log(tmp_path / "log"))
    file = tmp_path / "test.rows" / "part-00000.arrow"
    content = file.read_bytes()
    file.write_bytes(content[:-9])
    with pytest.raises(ValueError, match=r"part-00000\.arrow: has \d+ bytes, the manifest says"):
        DatasetReader(sets.test, TASKS, 64, config=tiny_config())
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(ValueError, match=r"part-00000\.arrow: changed since prepare wrote it"):
        DatasetReader(sets.test, TASKS, 64, config=tiny_config()).verify()
    file.write_bytes(content.replace(b"weight", b"height"))
    with pytest.raises(ValueError, match=r"part-00000\.arrow: cannot be read \('weight' is not in list\)"):
        DatasetReader(sets.test, TASKS, 64, config=tiny_config())
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"part-00000\.arrow: the dataset's rows are not there"):
        DatasetReader(sets.test, TASKS, 64, config=tiny_config())
    os.mkfifo(file)
    with pytest.raises(ValueError, match=r"part-00000\.arrow: cannot be read \(not a regular file\)"):
        DatasetReader(sets.test, TASKS, 64, config=tiny_config())
