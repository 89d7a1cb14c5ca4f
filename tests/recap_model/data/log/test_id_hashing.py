"""Ids hashed into places: against whole numbers of any size, in numpy and torch, and against chance."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recap_model.data.dataset.collisions import enough_places, warning
from recap_model.data.dataset.statistics import Collisions
from recap_model.data.log.id_hashing import _HIGH, _LOW, _PRIME, _SHIFT, hashed


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1), st.integers(1, 2**40))
def test_numpy_and_torch_hash_alike_and_as_whole_numbers_of_any_size(ids: list[int], places: int):
    expected = [
        ((id_ % _PRIME) * _LOW + (id_ // _PRIME % _PRIME) * _HIGH + _SHIFT) % _PRIME % places for id_ in ids
    ]
    assert hashed(np.array(ids, dtype=np.int64), places).tolist() == expected
    assert hashed(torch.tensor(ids, dtype=torch.int64), places).tolist() == expected


def test_the_largest_products_stay_in_int64():
    assert 2 * (_PRIME - 1) ** 2 + _PRIME < 2**63


@pytest.mark.parametrize("spread", [1, 1000, 2**31 - 1, 2**40])
def test_ids_of_any_spacing_fall_over_the_places_no_worse_than_by_chance(spread: int):
    ids, places = np.arange(100_000) * spread, 50_000
    taken = len(np.unique(hashed(ids, places)))
    by_chance = places * (1 - (1 - 1 / places) ** len(ids))
    assert taken > 0.98 * by_chance


def test_a_warning_says_how_many_places_would_do():
    found = Collisions(
        places=1000,
        ids=1001,
        sharing=0.6,
        expected=0.63,
        impressions=5000,
        impressions_sharing=0.7,
        exact=True,
    )
    assert "model.x: 60.0% of 1,001 ids share their place" in warning("model.x", found, 0.2)
    assert "4,482 would do" in warning("model.x", found, 0.2)
    for bound in (0.01, 0.2, 0.9):
        enough = enough_places(1001, bound)
        assert 1 - (1 - 1 / enough) ** 1000 <= bound < 1 - (1 - 1 / (enough - 1)) ** 1000
