"""Histograms: fixed bins in the order of their values, mergeable, ids apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.validate.profile.sketches.histogram import (
    EXACT_IDS,
    NUMBER_BINS,
    Histograms,
    assign_id_bins,
    assign_number_bins,
    count_id_buckets,
    count_ids,
    count_numbers,
    estimate_cardinality,
    lower_edges,
)
from recap_model.data.log.id_hashing import splitmix64

anything = st.floats(allow_nan=True, allow_infinity=True)
columns = hnp.arrays(np.float64, st.tuples(st.integers(0, 30), st.just(3)), elements=anything)


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_bins_are_in_the_order_of_their_values(values: np.ndarray):
    assert (np.diff(assign_number_bins(np.sort(values))) >= 0).all()


@given(st.floats(1e-15, 1e25), st.sampled_from([1.0, -1.0]))
def test_a_bin_is_at_most_a_sixteenth_of_its_value_wide(size: float, sign: float):
    edge = lower_edges(assign_number_bins(np.array([sign * size])))[0]
    assert 1.0 <= sign * size / edge < 1.0 + 1 / 16


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_in_no_histogram(value: float):
    assert count_numbers(np.array([[value]])) == Histograms.empty()
    assert count_ids(np.array([[value]])) == Histograms.empty()


@given(values=columns, cut=st.integers(0, 30), order=st.sampled_from("CF"))
def test_histograms_of_parts_add_up_to_the_wholes(values: np.ndarray, cut: int, order: str):
    for histograms in (count_numbers, count_ids):
        whole = histograms(values)
        parts = [histograms(np.asarray(part, order=order)) for part in (values[:cut], values[cut:])]
        assert parts[0] + parts[1] == whole == parts[1] + parts[0]


@given(values=columns)
def test_counts_are_those_of_the_finite_values_of_each_position(values: np.ndarray):
    whole = count_numbers(values)
    for position in range(3):
        finite = values[np.isfinite(values[:, position]), position]
        bins, counts = np.unique(assign_number_bins(np.ascontiguousarray(finite)), return_counts=True)
        assert [one.tolist() for one in whole.select(position)] == [bins.tolist(), counts.tolist()]


def test_values_that_are_left_out_are_not_counted():
    bins, counts = count_ids(np.array([[-1.0], [3.0], [3.0]]), np.array([[True], [False], [False]])).select(0)
    assert (bins.tolist(), counts.tolist()) == ([3], [2])


def test_small_ids_have_bins_of_their_own_and_large_ones_share():
    small = assign_id_bins(np.arange(EXACT_IDS, dtype=np.float64))
    large = assign_id_bins(np.arange(1e9, 1e9 + 100_000))
    assert small.tolist() == list(range(EXACT_IDS))
    assert (large.min(), len(np.unique(large))) == (EXACT_IDS, 1024)


def test_more_columns_than_are_counted_at_once_keep_their_places():
    values = np.tile(np.arange(500.0), (3000, 1))
    histograms = count_numbers(values)
    for position in (0, 1, 250, 499):
        bins, counts = histograms.select(position)
        assert (bins.tolist(), counts.tolist()) == (
            assign_number_bins(np.array([float(position)])).tolist(),
            [3000],
        )


@pytest.mark.parametrize("ids", [20, 1000, 10_000])
def test_the_number_of_ids_is_told_from_the_buckets_they_hit(ids: int):
    hashes = splitmix64(np.repeat(np.arange(ids), 7).view(np.uint64))
    bins, counts = count_id_buckets([hashes, hashes[:0]]).select(0)
    assert counts.sum() == 7 * ids
    assert estimate_cardinality(bins) == pytest.approx(ids, rel=0.05)


def test_bins_of_the_whole_range_fit_their_type():
    ends = assign_number_bins(np.array([-np.finfo(float).max, np.finfo(float).max]))
    assert ends.tolist() == [0, NUMBER_BINS - 1]
    assert np.iinfo(np.int16).max > NUMBER_BINS
