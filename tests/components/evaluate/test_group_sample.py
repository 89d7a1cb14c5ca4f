"""Sampling whole groups: all while they are few, by a hash of their ids when they are many."""

import numpy as np
import pytest

from components.common.metrics.group_sample import GroupSample


def sample_of(groups: np.ndarray, most: int, step: int) -> GroupSample:
    sample = GroupSample(most)
    for first in range(0, len(groups), step):
        part = groups[first : first + step]
        sample.add(part, {"value": part * 10})
    return sample


def test_few_rows_are_all_kept_in_their_order():
    groups = np.array([3, 1, 3, 2])
    columns = sample_of(groups, most=4, step=3).columns()
    assert columns["group"].tolist() == [3, 1, 3, 2]
    assert columns["value"].tolist() == [30, 10, 30, 20]


def test_of_many_rows_whole_groups_are_kept_and_the_same_ones_whatever_the_batches():
    groups = np.random.default_rng(0).integers(0, 2000, 20_000)
    samples = [sample_of(groups, most=5000, step=step) for step in (20_000, 777)]
    kept = [sample.columns()["group"] for sample in samples]
    assert np.array_equal(*kept)
    assert 1000 < len(kept[0]) <= 5000
    assert samples[0].fraction == pytest.approx(0.25)
    for group in np.unique(kept[0]):
        assert (kept[0] == group).sum() == (groups == group).sum()


def test_nothing_added_is_nothing():
    assert GroupSample().columns() == {}
