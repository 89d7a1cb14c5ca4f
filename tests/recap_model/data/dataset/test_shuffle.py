"""The order of an epoch's rows, for runs of any length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recap_model.data.dataset.shuffle import BatchRows, EpochOrder

Row = tuple[int, int]


def rows_of(batch: BatchRows, run: int) -> list[Row]:
    """Record batch and place of each row of a batch."""
    whole = [
        (part, row) for part, runs in batch.whole for first in runs * run for row in range(first, first + run)
    ]
    return whole + [(part, row) for part, first, length in batch.cut for row in range(first, first + length)]


ORDERS = {
    "lengths": st.lists(st.integers(0, 60), min_size=1, max_size=20),
    "run": st.integers(1, 40),
    "batch_size": st.integers(1, 300),
    "processes": st.integers(1, 4),
    "seed": st.none() | st.integers(0, 3),
}


def batches(
    lengths: list[int], run: int, batch_size: int, processes: int, seed: int | None, skip: int = 0
) -> list[list[list[Row]]]:
    """Of each batch, the rows of each process."""
    shares = [
        EpochOrder(np.array(lengths), run, batch_size, (rank, processes), processes).batches(
            None if seed is None else np.random.default_rng(seed), skip
        )
        for rank in range(processes)
    ]
    found = []
    for parts in zip(*shares, strict=True):
        for part in parts:
            assert part.total == len(rows_of(part, run))
            assert {number for number, _ in rows_of(part, run)} <= part.near
        found.append([rows_of(part, run) for part in parts])
    return found


@given(**ORDERS)
def test_every_row_comes_once_in_full_batches_but_for_too_short_a_last_one(
    lengths: list[int], run: int, batch_size: int, processes: int, seed: int | None
):
    found = batches(lengths, run, batch_size, processes, seed)
    rows = [row for shares in found for share in shares for row in share]
    assert len(set(rows)) == len(rows)
    assert set(rows) <= {(part, row) for part, length in enumerate(lengths) for row in range(length)}
    sizes = [sum(map(len, shares)) for shares in found]
    whole, rest = divmod(sum(lengths), batch_size)
    assert sizes == [size for size in [*[batch_size] * whole, rest] if size >= processes]
    assert all(max(map(len, shares)) - min(map(len, shares)) <= 1 for shares in found)


@given(**ORDERS, skip=st.integers(0, 30))
def test_the_batches_after_those_skipped_are_the_same(
    lengths: list[int], run: int, batch_size: int, processes: int, seed: int | None, skip: int
):
    settings = (lengths, run, batch_size, processes, seed)
    assert batches(*settings, skip) == batches(*settings)[skip:]


@given(lengths=ORDERS["lengths"], run=ORDERS["run"], batch_size=ORDERS["batch_size"])
def test_without_a_seed_rows_come_in_the_order_of_the_files(lengths: list[int], run: int, batch_size: int):
    rows = [row for shares in batches(lengths, run, batch_size, 1, None) for share in shares for row in share]
    assert rows == [(part, row) for part, length in enumerate(lengths) for row in range(length)]


@given(seed=st.integers(0, 5))
def test_runs_are_mixed_over_record_batches(seed: int):
    first = batches([400] * 8, 10, 320, 1, seed)[0][0]
    parts = [part for part, _ in first]
    assert len(set(parts)) > 4
    assert sorted(row for part, row in first if part == parts[0]) != list(range(parts.count(parts[0])))
