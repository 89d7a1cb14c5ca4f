"""Derived columns: against plain Python on the same rows, and what they cannot be computed from."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap_model import ConfigError
from recap_model.config.data.derived import DerivedColumn
from recap_model.data.log.derived import derive
from recap_model.data.log.feature_groups import read_groups
from tests.recap_model.data.log.derived_config import DERIVED, with_derived

TIMES = st.integers(-(2**41), 2**42).filter(lambda time: time != -1)  # which is no time
NUMBERS = st.floats(-1e6, 1e6)


def derived(kind: str, *columns: list[Any], **fields: Any) -> list[Any]:
    names = [f"c{number}" for number in range(len(columns))]
    column = DerivedColumn(kind=kind, of=names, **fields)
    return derive(column, [pa.array(values) for values in columns], "rows").to_pylist()


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
def test_arithmetic_is_pythons(pairs: list[tuple[float, float]]):
    first, second = map(list, zip(*pairs, strict=True))
    assert derived("difference", first, second) == [a - b for a, b in pairs]
    assert derived("product", first, second) == [a * b for a, b in pairs]
    assert derived("ratio", first, second) == [a / b if b else None for a, b in pairs]


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1))
def test_times_are_pythons(pairs: list[tuple[int, int]]):
    first, second = map(list, zip(*pairs, strict=True))
    moments = [datetime.fromtimestamp(ms / 1000, UTC) for ms in first]
    assert derived("hour_of_day", first) == [moment.hour for moment in moments]
    assert derived("day_of_week", first) == [moment.weekday() for moment in moments]
    hours = derived("hours_between", first, second)
    assert all(math.isclose(h, (b - a) / 3_600_000) for h, (a, b) in zip(hours, pairs, strict=True))


def test_a_missing_source_is_a_missing_value():
    assert derived("ratio", [1, None, 4], [2, 2, 0]) == [0.5, None, None]
    assert derived("hours_between", [0, None], [7_200_000, 1]) == [2.0, None]
    assert derived("hour_of_day", [None, 3_600_000]) == [None, 1]
    assert derived("day_of_week", [-1, 1_772_366_400_000_000, 2**63 - 2]) == [None, None, None]
    assert derived("hours_between", [0, 2**62], [2**63 - 2, 0]) == [None, None]
    assert derived("cross", [1, None, 3], [None, 2, 3], buckets=10)[:2] == [None, None]
    assert derived("product", [True, False], [2.5, 2.5]) == [2.5, 0.0]


@given(st.integers(0, 2**32))
def test_a_cross_spreads_pairs_evenly_and_tells_their_order(seed: int):
    random = np.random.default_rng(seed)
    first, second = (random.integers(-5, 2**60, 4000).tolist() for _ in range(2))
    buckets = np.array(derived("cross", first, second, buckets=16))
    assert buckets.min() >= 0
    counts = np.bincount(buckets, minlength=16)
    assert ((counts - 250) ** 2 / 250).sum() < 60
    swapped = np.array(derived("cross", second, first, buckets=16))
    assert 0.02 < (buckets == swapped).mean() < 0.12
    assert derived("cross", first, second, buckets=16) == buckets.tolist()


def test_an_id_of_a_cross_that_is_no_whole_number_is_refused_by_name():
    with pytest.raises(ValueError, match=r"rows: c1 has value 0\.5; discrete ids are whole numbers"):
        derived("cross", [1], [0.5], buckets=4)
    assert derived("cross", [1, 1], [2, 2], buckets=4) == derived("cross", [1, 1], [2.0, 2.0], buckets=4)


def test_times_may_be_timestamps_and_crossed_ids_words():
    noon = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    assert derived("hour_of_day", [noon, None]) == [12, None]
    assert derived("hours_between", [noon], [int(noon.timestamp() * 1000) + 1_800_000]) == [0.5]
    crossed = derived("cross", ["a", "a", "b", None], [1, 1, 1, 1], buckets=1000)
    assert crossed[0] == crossed[1] != crossed[2]
    assert crossed[3] is None


def test_groups_take_derived_columns_like_the_logs_own():
    features = with_derived().features
    assert features.columns()[:6] == ["age_hours", "likes", "replies", "has_video", "impressed_ms", "topic"]
    table = {
        "age_hours": [1.0], "likes": [3.0], "replies": [2.0], "has_video": [1], "impressed_ms": [7_200_000],
        "topic": [4], "position": [2],
    }  # fmt: skip
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4, np.float32)), 4)
    rows = pa.table(table | {"user_embedding": lists})
    groups = read_groups(rows, features, "rows")
    assert groups["continuous"].tolist() == [[1.0, 1.5]]
    assert groups["discrete"][0, 0] == 2
    given_already = rows.drop_columns(["likes", "replies"]).append_column("likes_per_reply", pa.array([9.0]))
    assert read_groups(given_already, features, "rows")["continuous"].tolist() == [[1.0, 9.0]]
    with pytest.raises(ValueError, match="rows: no column replies; the model reads it as a feature"):
        read_groups(rows.drop_columns(["replies"]), features, "rows")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "ratio", "of": ["likes"]}, "derived.hour.of: 1 columns; ratio is of 2"),
        ({"kind": "cross", "of": ["likes", "topic"]}, "derived.hour.buckets: a cross needs them"),
        ({"kind": "day_of_week", "of": ["likes"], "buckets": 3}, "derived.hour.buckets: a cross needs them"),
        ({"kind": "cross", "of": ["topic"], "buckets": 3}, "of: 1 columns; cross is of 2 to 8"),
        ({"kind": "hour_of_day", "of": ["engaged_ms"]}, "'engaged_ms' is known only after the fact, like a label"),
        ({"kind": "ratio", "of": ["likes_per_reply", "likes"]}, "'likes_per_reply' is derived too; give columns of"),
        ({"kind": "ratio", "of": ["like", "likes"]}, "tasks.like.label: column 'like' is a feature too"),
        ({"kind": "sum", "of": ["likes", "replies"]}, "derived.hour.kind: "),
    ],
)  # fmt: skip
def test_a_derived_column_that_cannot_be_is_refused_with_its_path(fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        with_derived(derived=DERIVED | {"hour": fields})
    with pytest.raises(
        ConfigError, match="derived: 'unused' is in no group; name it in continuous, binary, discrete"
    ):
        with_derived(derived=DERIVED | {"unused": DERIVED["hour"]})
