"""Lists of ids: read alike from any Arrow form, filled up in a batch, and the same from a dataset."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap_model.config.data.features import FeaturesConfig
from recap_model.data.log.id_lists import IdLists, pad_lists, read_lists

FEATURES = FeaturesConfig(sparse=["seen"])
IDS = st.lists(st.one_of(st.none(), st.integers(0, 2**60)), max_size=5)
FORMS = [pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_(pa.uint64())]


def read(column: pa.Array, features: FeaturesConfig = FEATURES) -> list[list[int]]:
    return read_lists(pa.table({"seen": column}), features, "x")["seen"].to_pylist()


@given(rows=st.lists(st.one_of(st.none(), IDS), max_size=8), form=st.sampled_from(FORMS))
def test_nulls_are_left_out_and_the_other_ids_stay_in_order(rows, form):
    expected = [[id_ for id_ in row or [] if id_ is not None] for row in rows]
    assert read(pa.array(rows, form)) == expected
    assert read(pa.array([[1], *rows], form).slice(1)) == expected


def test_of_a_long_list_the_first_ids_are_read():
    features = FeaturesConfig(sparse=["seen"], longest_list=2)
    assert read(pa.array([[1, 2, 3], [4], None, [5, 6]]), features) == [[1, 2], [4], [], [5, 6]]


def test_fixed_lists_and_a_column_of_nulls_are_read():
    assert read(pa.array([[1, 2], None], pa.list_(pa.int32(), 2))) == [[1, 2], []]
    assert read(pa.nulls(2)) == [[], []]


def test_rows_of_several_record_batches_are_filled_up_to_the_longest_list():
    first, second = (IdLists.of(pa.array(rows)) for rows in ([[1], [2, 3]], [[], [4, 5, 6], [7]]))
    found = pad_lists([(first, np.array([1])), (second, np.array([2, 0]))])
    assert found.tolist() == [[2, 3], [7, -1], [-1, -1]]
    assert pad_lists([(second, np.array([0]))]).tolist() == [[-1]]


def test_ids_of_lists_are_integers_of_any_sign_and_width_or_text():
    assert read(pa.array([[2**64 - 5, 7], None], pa.list_(pa.uint64()))) == [[-5, 7], []]
    assert read(pa.array([[-77, None]], pa.large_list(pa.int16()))) == [[-77]]
    words = pa.array([["a"], ["b", "a"]])
    first, second = read(words)
    assert (first[0], len(second)) == (second[1], 2)
    assert read(words.cast(pa.list_(pa.dictionary(pa.int8(), pa.string())))) == [first, second]


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="x: no column seen"):
        read_lists(pa.table({"other": pa.array([[1]])}), FEATURES, "x")
