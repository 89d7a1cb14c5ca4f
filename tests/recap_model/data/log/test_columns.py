"""Words, timestamps and dictionaries, as pandas and Spark write them, read as the same ids and times everywhere."""

import hashlib
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap_model.data.log.columns import decoded, milliseconds
from recap_model.data.log.feature_groups import read_groups
from recap_model.data.log.id_hashing import feature_ids
from tests.tiny import DAY_MS, FIRST_DAY, tiny_config, tiny_rows

NOON = datetime(2026, 3, 1, 12)
NOON_MS = 1_772_366_400_000
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))


def test_a_words_id_is_the_first_52_bits_of_its_hash():
    digest = hashlib.blake2b("c7é".encode(), digest_size=8).digest()
    assert feature_ids(pa.array(["c7é", None, "c7é"])).to_pylist() == [
        int.from_bytes(digest, "little") >> 12,
        None,
        int.from_bytes(digest, "little") >> 12,
    ]
    assert feature_ids(pa.array([], pa.large_string())).to_pylist() == []


@given(st.lists(st.text(max_size=5), unique=True, min_size=2))
def test_words_that_differ_have_ids_that_differ_and_are_exact_as_floats(words: list[str]):
    ids = feature_ids(pa.array(words)).to_pylist()
    assert len(set(ids)) == len(words)
    assert all(0 <= number < 2**52 and int(float(number)) == number for number in ids)


@given(
    st.lists(MOMENTS, min_size=1),
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from(["UTC", "Asia/Tokyo"]),
)
def test_timestamps_are_pythons_milliseconds(moments: list[datetime], unit: str, zone: str):
    expected = [(moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1) for moment in moments]
    if unit == "s":
        moments = [moment.replace(microsecond=0) for moment in moments]
        expected = [number // 1000 * 1000 for number in expected]
    naive = pa.array(moments, pa.timestamp("us")).cast(pa.timestamp(unit), safe=False)
    assert milliseconds(naive, "t").to_pylist() == expected
    aware = pa.array([moment.replace(tzinfo=UTC) for moment in moments], pa.timestamp("us", zone))
    assert milliseconds(aware, "t").to_pylist() == expected
    elsewhere = [moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=-7))) for moment in moments]
    assert milliseconds(pa.array(elsewhere, pa.timestamp("us", "UTC")), "t").to_pylist() == expected


def test_milliseconds_stay_and_what_is_no_time_is_refused():
    assert milliseconds(pa.array([1_772_323_200_000, None]), "t").to_pylist() == [1_772_323_200_000, None]
    assert milliseconds(pa.nulls(2), "t").to_pylist() == [None, None]
    with pytest.raises(ValueError, match=r"^t is double; a time is a timestamp, or whole milliseconds since"):
        milliseconds(pa.array([1.0]), "t")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (
            [datetime(9999, 12, 31), datetime(1, 1, 1), datetime(1900, 1, 1), NOON],
            pa.timestamp("us"),
            NOON_MS,
        ),
        ([datetime(9999, 12, 31), datetime(1, 1, 1), datetime(1900, 1, 1), NOON], pa.timestamp("s"), NOON_MS),
        ([2**63 - 1, -(2**63), -1, NOON_MS // 1000], pa.timestamp("s"), NOON_MS),
        ([2**63 - 2, 2**62, -(2**62), NOON_MS // 1000], pa.timestamp("s"), NOON_MS),
        ([2**63 - 1, -(2**63), -1, NOON_MS * 10**6], pa.timestamp("ns"), NOON_MS),
        ([date(9999, 12, 31), date(1, 1, 1), None, date(2026, 3, 1)], pa.date32(), NOON_MS - DAY_MS // 2),
        ([date(9999, 12, 31), date(1, 1, 1), None, date(2026, 3, 1)], pa.date64(), NOON_MS - DAY_MS // 2),
        ([2**63 - 1, -(2**63), -1, NOON_MS], pa.int64(), NOON_MS),
        ([253_402_214_400_000, -62_135_596_800_000, None, NOON_MS], pa.int64(), NOON_MS),
        ([2**64 - 1, 2**63, 2**63 - 1, NOON_MS], pa.uint64(), NOON_MS),
        ([2**31 - 1, -(2**31), -1, 1000], pa.int32(), 1000),
        (
            [None, None, -1, NOON_MS * 1000],
            pa.int64(),
            NOON_MS * 1000,
        ),  # microseconds, for validate to refuse
    ],
)
def test_what_stands_for_no_time_is_missing_and_nothing_wraps_around(
    values: list[Any], kind: pa.DataType, expected: int
):
    assert milliseconds(pa.array(values, kind), "t").to_pylist() == [None, None, None, expected]


def test_a_dictionary_is_read_as_its_values():
    coded = pa.chunked_array([pa.array(["a", "b"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()])
    assert decoded(coded).to_pylist() == ["a", "b", "b"]


def test_words_in_the_discrete_group_are_read_as_their_ids_in_any_encoding():
    rows, features = tiny_rows(FIRST_DAY, 3), tiny_config().features
    place = rows.schema.get_field_index("topic")
    words = pa.array(["cats", None, "dogs"])
    expected = [[0, feature_ids(words)[0].as_py()], [1, -1], [2, feature_ids(words)[2].as_py()]]
    for column in (words, words.cast(pa.large_string()), words.dictionary_encode()):
        groups = read_groups(rows.set_column(place, "topic", column), features, "rows")
        assert groups["discrete"].tolist() == expected
