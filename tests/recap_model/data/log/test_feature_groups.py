"""Columns of the log as groups: the same arrays from any Arrow form, and what is missing reads as documented."""

from dataclasses import fields
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest

from recap_model.config.data.features import DENSE_GROUPS, FeaturesConfig
from recap_model.config.model.inputs import JoinedGroup
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.log.feature_groups import read_groups

FEATURES = FeaturesConfig(
    continuous=["age"],
    binary=["video"],
    discrete=["topic", "lang"],
    author_embedding={"column": "author", "width": 2},
)


def _rows(**columns: pa.Array) -> pa.Table:
    filled = {
        "age": pa.array([1.0, 2.0]),
        "video": pa.array([0, 1]),
        "topic": pa.array([3, 4]),
        "lang": pa.array([5, 6]),
        "author": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
        "no_feature": pa.array(["a", "b"]),
    }
    return pa.table({**filled, **columns})


def test_each_group_is_one_array_of_rows_and_width():
    groups = read_groups(_rows(), FEATURES, "x")
    assert {name: (array.dtype.name, array.tolist()) for name, array in groups.items()} == {
        "continuous": ("float32", [[1.0], [2.0]]),
        "binary": ("float32", [[0.0], [1.0]]),
        "discrete": ("int64", [[3, 5], [4, 6]]),
        "author_embedding": ("float32", [[1.0, 2.0], [3.0, 4.0]]),
    }


def test_missing_and_non_finite_values_read_as_documented():
    rows = _rows(
        age=pa.array([None, float("inf")]),
        video=pa.array([None, True]),
        topic=pa.array([None, 4.0]),
        lang=pa.nulls(2),
        author=pa.array([None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    )
    groups = read_groups(rows, FEATURES, "x")
    assert np.isnan(groups["continuous"]).all()
    assert groups["binary"].tolist() == [[0.0], [1.0]]
    assert groups["discrete"].tolist() == [[-1, -1], [4, -1]]
    assert groups["author_embedding"].tolist() == [[0.0, 0.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("group", "missing"), [(name, group.missing) for name, group in DENSE_GROUPS.items()]
)
def test_a_missing_list_and_a_missing_entry_read_as_the_table_of_groups_says(group: str, missing: float):
    features = FeaturesConfig.model_validate({group: {"column": "values", "width": 2}})
    rows = pa.table({"values": pa.array([None, [1, None]], pa.list_(pa.int64()))})
    array = read_groups(rows, features, "x")[group]
    np.testing.assert_array_equal(array, [[missing, missing], [1, missing]])


def test_each_group_is_a_field_of_the_config_and_of_a_batch():
    named = set(DENSE_GROUPS)
    assert named <= set(FeaturesConfig.model_fields)
    assert named <= {field.name for field in fields(RecapBatch)}
    assert named - {"continuous"} == set(get_args(JoinedGroup))


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2)]
)
def test_an_embedding_is_read_from_any_kind_of_list(kind: pa.DataType):
    rows = _rows(author=pa.array([[1.0, 2.0], [3.0, 4.0]], kind)).slice(1)
    assert read_groups(rows, FEATURES, "x")["author_embedding"].tolist() == [[3.0, 4.0]]


def test_rows_in_chunks_or_a_slice_of_a_batch_read_as_they_are():
    rows = pa.concat_tables([_rows(), _rows()])
    assert read_groups(rows, FEATURES, "x")["discrete"].tolist() == [[3, 5], [4, 6], [3, 5], [4, 6]]
    batch = _rows().to_batches()[0].slice(1)
    assert read_groups(batch, FEATURES, "x")["author_embedding"].tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"topic": pa.array([1.5, 2.0])},
            "part-1: column topic has value 1.5; discrete ids are whole numbers",
        ),
        (
            {"topic": pa.array([1.0, float("nan")])},
            "part-1: column topic has value nan; discrete ids are whole",
        ),
        ({"author": pa.array([[1.0], [1.0, 2.0]])}, "part-1: column author has a list of 1; .* lists of 2"),
    ],
)
def test_a_column_with_a_value_that_is_not_allowed_is_named(columns: dict[str, pa.Array], words: str):
    with pytest.raises(ValueError, match=words):
        read_groups(_rows(**columns), FEATURES, "part-1")


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="part-1: no column age, lang;"):
        read_groups(_rows().drop_columns(["age", "lang"]), FEATURES, "part-1")
