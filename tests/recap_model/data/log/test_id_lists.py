"""Lists of ids: read alike from any Arrow form, filled up in a batch, and the same from a dataset."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap_model.config.features import FeaturesConfig
from recap_model.data.log.id_lists import Lists, padded, read_lists

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
    first, second = (Lists.of(pa.array(rows)) for rows in ([[1], [2, 3]], [[], [4, 5, 6], [7]]))
    found = padded([(first, np.array([1])), (second, np.array([2, 0]))])
    assert found.tolist() == [[2, 3], [7, -1], [-1, -1]]
    assert padded([(second, np.array([0]))]).tolist() == [[-1]]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["a"]), "x: column seen is string; sparse needs lists of integers"),
        (pa.array([[0.5]]), "x: column seen is list<.*double>; sparse needs lists of integers"),
        (pa.array([[2**63]], pa.list_(pa.uint64())), "x: column seen: Integer value 9223372036854775808"),
    ],
)
def test_what_is_no_list_of_ids_names_the_column(column: pa.Array, message: str):
    with pytest.raises(ValueError, match=message):
        read(column)
    with pytest.raises(ValueError, match="x: no column seen"):
        read_lists(pa.table({"other": column}), FEATURES, "x")
