"""Ids hashed into buckets: against whole numbers of any size, in numpy and torch, and against chance."""

from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recap_model.data.dataset.statistics import Collisions, buckets_within, collision_warning
from recap_model.data.log.id_hashing import (
    _HIGH,
    _LOW,
    _PRIME,
    _SHIFT,
    assign_folds,
    feature_ids,
    hash_buckets,
    id_numbers,
    sketch_hashes,
)

UUID_ = UUID("550e8400-e29b-41d4-a716-446655440000")


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.integers(1, 2**40))
def test_numpy_and_torch_hash_alike_and_as_whole_numbers_of_any_size(ids: list[int], buckets: int):
    expected = [
        ((id_ % _PRIME) * _LOW + (id_ // _PRIME % _PRIME) * _HIGH + _SHIFT) % _PRIME % buckets for id_ in ids
    ]
    assert hash_buckets(np.array(ids, dtype=np.int64), buckets).tolist() == expected
    assert hash_buckets(torch.tensor(ids, dtype=torch.int64), buckets).tolist() == expected


def test_the_largest_products_stay_in_int64():
    assert 2 * (_PRIME - 1) ** 2 + _PRIME < 2**63


@pytest.mark.parametrize(
    ("ids", "same"),
    [
        (pa.array([-77, 5, None], pa.int8()), pa.array([-77, 5, None], pa.int64())),
        (pa.array([2**64 - 77, 5, None], pa.uint64()), pa.array([-77, 5, None], pa.int64())),
        (pa.array(["c7é", "", None]), pa.array(["c7é", "", None], pa.large_string()).dictionary_encode()),
        (pa.array(["c7é", "", None]), pa.array(["c7é".encode(), b"", None], pa.large_binary())),
        (pa.array([str(UUID_), None]), pa.array([UUID_.bytes, None], pa.binary(16))),
        (pa.array([str(UUID_), None]), pa.array([UUID_.bytes, None], pa.uuid())),
        (pa.array(["0xff00"]), pa.array([b"\xff\x00"])),
    ],
)
def test_equal_ids_of_different_types_have_the_same_hashes(ids: pa.Array, same: pa.Array):
    assert feature_ids(ids).equals(feature_ids(same))
    for hashes in (id_numbers, sketch_hashes, lambda column: assign_folds(column, 7)):
        np.testing.assert_array_equal(hashes(ids), hashes(same))


def test_hashes_stay_what_registered_models_and_splits_were_made_with():
    words, numbers = pa.array(["c7é", "a", None]), pa.array([7, -7, None])
    assert feature_ids(words).to_pylist() == [1461613628099804, 831395705625071, None]
    assert id_numbers(words).tolist() == [5986769420696798815, 3405396810240292928, -1]
    assert sketch_hashes(words).tolist() == [5950564426433218447, 13950350942979735504, 1760245841805064774]
    assert sketch_hashes(numbers).tolist() == [7191089600892374487, 7790691224305936752, 16294208416658607535]
    assert assign_folds(words, 1000).tolist() == [885, 907, 41]
    assert assign_folds(numbers, 1000).tolist() == [487, 752, 535]
    assert hash_buckets(np.array([0, 1, 2, 2**62]), 1000).tolist() == [471, 11, 551, 418]


@pytest.mark.parametrize("spread", [1, 1000, 2**31 - 1, 2**40])
def test_ids_of_any_spacing_fall_over_the_places_no_worse_than_by_chance(spread: int):
    ids, buckets = np.arange(100_000) * spread, 50_000
    taken = len(np.unique(hash_buckets(ids, buckets)))
    by_chance = buckets * (1 - (1 - 1 / buckets) ** len(ids))
    assert taken > 0.98 * by_chance


def test_a_warning_says_how_many_places_would_do():
    found = Collisions(
        buckets=1000,
        ids=1001,
        collision_rate=0.6,
        expected=0.63,
        impressions=5000,
        impression_collision_rate=0.7,
        exact=True,
    )
    assert "model.x: 60.0% of 1,001 ids collide" in collision_warning("model.x", found, 0.2)
    assert {"places", "sharing", "impressions_sharing"} <= found.model_dump().keys()
    assert Collisions.model_validate_json(found.model_dump_json()) == found
    assert "give 4,482 buckets" in collision_warning("model.x", found, 0.2)
    for bound in (0.01, 0.2, 0.9):
        enough = buckets_within(1001, bound)
        assert 1 - (1 - 1 / enough) ** 1000 <= bound < 1 - (1 - 1 / (enough - 1)) ** 1000
