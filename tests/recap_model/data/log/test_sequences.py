"""Sequences of a log: newest events first, cut at the oldest end, aligned, with missing values as documented."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recap_model.config.data.sequences import Sequence
from recap_model.data.log.sequences import UnalignedListsError, column_name, read_sequences

HOUR = 3_600_000
NOW = 1_700_000_000_000


def read(columns: dict[str, Any], rows: dict[str, Any], **sequence: Any) -> dict[str, list]:
    batch = pa.record_batch(
        {name: value if isinstance(value, pa.Array) else pa.array(value) for name, value in rows.items()}
    )
    sequences = {"history": Sequence.model_validate({"columns": columns, **sequence})}
    lists = read_sequences(batch, sequences, "now", "part.parquet")
    return {key: lists[column_name("history", key)].to_pylist() for key in columns}


@pytest.mark.parametrize(
    ("order", "expected"),
    [("newest_first", [[1, 2], [6], [], []]), ("oldest_first", [[5, 4], [6], [], []])],
)
def test_the_newest_events_stay_newest_first(order: str, expected: list):
    rows = {"ids": [[1, 2, 3, 4, 5], [6], [], None]}
    assert read({"item": "ids"}, rows, order=order, max_length=2) == {"item": expected}


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int32()),
        pa.large_list(pa.uint64()),
        pa.list_view(pa.int64()),
        pa.list_(pa.int64(), 2),
    ],
    ids=str,
)
def test_lists_of_every_arrow_type_are_read_also_out_of_a_slice(kind: pa.DataType):
    column = pa.array([[9, 9], [1, 2], None, [3, None]], kind).slice(1)
    expected = [[1, 2], [], [3, -1]]
    assert read({"item": "ids"}, {"ids": column}) == {"item": expected}


def test_text_is_read_as_by_the_candidates_column():
    from recap_model.data.log.id_hashing import feature_ids

    item = read({"item": "ids"}, {"ids": [["a", "b", None]]})["item"][0]
    assert item == [*feature_ids(pa.array(["a", "b"])).to_pylist(), -1]


def test_times_are_hours_before_the_impression():
    rows = {"times": [[NOW - HOUR, None, -1, NOW + HOUR], []], "now": [NOW, NOW]}
    assert np.array(read({"time": {"column": "times", "kind": "time"}}, rows)["time"][0]) == pytest.approx(
        [1.0, np.nan, np.nan, -1.0], nan_ok=True
    )
    stamps = pa.array([[NOW - HOUR // 2], []], pa.list_(pa.timestamp("ms", "UTC")))
    assert read({"time": {"column": "times", "kind": "time"}}, rows | {"times": stamps})["time"] == [
        [0.5],
        [],
    ]
    unknown = read({"time": {"column": "times", "kind": "time"}}, rows | {"now": [None, NOW]})["time"]
    assert np.isnan(unknown[0]).all()


def test_numbers_that_are_none_are_missing():
    values = read({"n": {"column": "x", "kind": "number"}}, {"x": [[1.5, None, float("inf")]]})["n"][0]
    assert np.array(values) == pytest.approx([1.5, np.nan, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("values", "column"),
    [
        (["click", "like", "reply"], [[["like"], ["click", "reply", "share", "click"], None, [], [None]]]),
        ([3, 5, 7], [[[5], [3, 7, 9, 3], None, [], [None]]]),
    ],
    ids=["text", "integers"],
)
def test_actions_are_a_bit_for_each_named_one(values: list, column: list):
    actions = {"a": {"column": "x", "kind": "actions", "values": values}}
    assert read(actions, {"x": column}) == {"a": [[2, 5, 0, 0, 0]]}


def test_actions_that_are_named_in_another_type_are_refused():
    actions = {"a": {"column": "x", "kind": "actions", "values": ["click"]}}
    with pytest.raises(
        ValueError, match=r"part.parquet: column x has actions of int64, and values of string"
    ):
        read(actions, {"x": [[[1]]]})


def test_a_column_without_a_value_is_of_empty_histories():
    columns = {"item": "ids", "a": {"column": "x", "kind": "actions", "values": ["click"]}}
    nothing = pa.nulls(2)
    assert read(columns, {"ids": nothing, "x": nothing}) == {"item": [[], []], "a": [[], []]}


@pytest.mark.parametrize("other", [[[1], [1, 2]], [[1, 2], None]])
def test_lists_of_different_lengths_in_a_row_are_refused_by_row(other: list):
    columns = {"item": "ids", "author": "authors"}
    with pytest.raises(
        UnalignedListsError, match=r"part.parquet: row \d: column authors has a list of"
    ) as caught:
        read(columns, {"ids": [[1, 2], [3]], "authors": other})
    assert caught.value.row == (0 if len(other[0]) == 1 else 1)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"part.parquet: no column ids; the model reads it as lists of id"):
        read({"item": "ids"}, {"now": [1]})
    with pytest.raises(
        ValueError, match=r"no column now; the times of a sequence are read as the hours to it"
    ):
        read({"time": {"column": "times", "kind": "time"}}, {"times": [[NOW]]})


def test_what_is_read_of_long_histories_is_bounded_by_what_stays():
    events = np.arange(40 * 50_000)
    column = pa.ListArray.from_arrays(pa.array(np.arange(41, dtype=np.int32) * 50_000), pa.array(events))
    before = pa.total_allocated_bytes()
    item = read({"item": "ids"}, {"ids": column}, max_length=50)["item"]
    assert [ids[0] for ids in item] == [row * 50_000 for row in range(40)]
    assert pa.total_allocated_bytes() - before < 1 << 20
