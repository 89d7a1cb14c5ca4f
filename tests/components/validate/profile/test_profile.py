"""The profile: exact, mergeable, equal to what numpy says of the rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.validate.profile.columns import Block
from components.validate.profile.profile import BlockProfile, PartitionProfile, Profile
from components.validate.profile.sketches.exact_sum import from_text, from_units, to_text, to_units
from components.validate.profile.statistics import Stats, measure
from components.validate.profile.timestamps import Span
from components.validate.profile.values import WrongWidthError, read_values
from recap_model.data.log.column_roles import LogColumn

floats = st.floats(width=32, allow_nan=True, allow_infinity=True)
arrays = hnp.arrays(np.float64, st.tuples(st.integers(0, 20), st.just(3)), elements=floats)

LISTS = Block("continuous", (LogColumn("x", "continuous", "features.continuous", 2),))


def stats_of(values: np.ndarray) -> Stats:
    return measure(values, np.zeros(values.shape[1], dtype=np.int64))


def part(day: int, values: np.ndarray) -> Profile:
    block = BlockProfile(["a", "b", "c"], stats_of(values))
    return Profile({f"date=2026-03-0{day}": PartitionProfile(len(values), {"continuous": block})})


@given(
    parts=st.lists(st.tuples(st.integers(1, 3), arrays), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
    groups=st.integers(1, 5),
)
@settings(max_examples=60)
def test_profiles_merge_in_any_order_and_grouping_to_the_same(parts, order, groups):
    profiles = [part(day, values) for day, values in parts]
    in_order = sum(profiles, Profile())
    order.shuffle(profiles)
    grouped = [sum(profiles[first::groups], Profile()) for first in range(groups)]
    merged = sum(grouped, Profile())
    assert merged.partitions == in_order.partitions
    assert merged.table().equals(in_order.table(), check_metadata=True)


@given(values=arrays)
@settings(max_examples=60)
def test_stats_are_those_of_numpy(values):
    stats = stats_of(values)
    for place in range(3):
        column = values[:, place]
        finite = column[np.isfinite(column)]
        assert stats.nans[place] == np.isnan(column).sum()
        assert stats.infinities[place] == np.isinf(column).sum()
        assert stats.finite[place] == len(finite)
        assert stats.zeros[place] == (column == 0).sum()
        assert stats.minimum[place] == finite.min(initial=np.inf)
        assert stats.maximum[place] == finite.max(initial=-np.inf)
        assert from_units(stats.total[place]) == pytest.approx(finite.sum(), rel=1e-9, abs=1e-30)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=10))
def test_a_sum_is_exact_and_survives_its_text(values):
    import math

    units = sum(map(to_units, values))
    assert from_text(to_text(units)) == units
    try:
        assert from_units(units) == math.fsum(values)
    except OverflowError:  # of fsum's intermediate sums
        assert abs(units) > 0


def test_a_sum_of_squares_that_overflows_is_unknown_and_stays_so():
    huge = stats_of(np.array([[1e200]]))
    assert huge.squares == [None]
    assert (huge + stats_of(np.array([[1.0]]))).squares == [None]


def test_a_written_profile_reads_back_the_same(tmp_path: Path):
    profile = part(1, np.array([[1.5, np.nan, np.inf]])) + part(2, np.array([[1e200, -3.0, 0.0]]))
    profile.partitions["date=2026-03-09"] = PartitionProfile(0)
    profile.write(tmp_path / "profile.parquet")
    assert Profile.read(tmp_path / "profile.parquet").partitions == profile.partitions


def test_a_file_that_is_no_profile_is_refused(tmp_path: Path):
    (tmp_path / "profile.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"profile\.parquet: not Parquet"):
        Profile.read(tmp_path / "profile.parquet")


def batch_of(array: pa.Array) -> pa.RecordBatch:
    return pa.record_batch([array], names=["x"])


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32(), 2), pa.list_(pa.float64()), pa.large_list(pa.float32())]
)
def test_a_list_column_is_read_by_position_and_null_lists_and_entries_are_counted(kind):
    batch = batch_of(pa.array([[1, 2], None, [3, None]], type=kind))
    values = read_values(batch, LISTS)
    np.testing.assert_array_equal(values.array, [[1, 2], [np.nan, np.nan], [3, np.nan]])
    assert values.nulls.tolist() == [1, 2]


def test_a_profile_whose_columns_were_altered_is_refused(tmp_path: Path):
    path = tmp_path / "profile.parquet"
    Profile({"date=2026-03-04": PartitionProfile(3)}).write(path)
    table = pq.read_table(path)
    for altered in (
        table.set_column(0, "partition", pa.array([], pa.int8())),
        table.replace_schema_metadata({**table.schema.metadata, b"recap.partition_rows": b"a=b"}),
    ):
        pq.write_table(altered, path)
        with pytest.raises(
            ValueError, match=r"profile.parquet: not what validate writes; run validate again"
        ):
            Profile.read(path)


def test_a_slice_of_lists_is_read_from_its_own_start():
    batch = batch_of(pa.array([[1.0, 2.0], [3.0, 4.0]], type=pa.list_(pa.float32(), 2))).slice(1)
    values = read_values(batch, LISTS)
    assert values.array.tolist() == [[3.0, 4.0]]


def test_an_embedding_is_measured_by_its_norm():
    batch = batch_of(pa.array([[3.0, 4.0], [0.0, 0.0], None], type=pa.list_(pa.float32(), 2)))
    values = read_values(
        batch, Block("embedding", (LogColumn("x", "embedding", "features.user_embedding", 2),))
    )
    np.testing.assert_array_equal(values.array, [[5.0], [0.0], [np.nan]])
    assert values.nulls.tolist() == [1]


def test_lists_of_another_width_are_told_with_their_number():
    batch = batch_of(pa.array([[1.0, 2.0], [1.0], [1.0, 2.0, 3.0]]))
    with pytest.raises(WrongWidthError) as caught:
        read_values(batch, LISTS)
    assert (caught.value.width, caught.value.rows) == (1, 2)


def test_an_hourly_partition_spans_its_hour():
    span = Span.parse("date=1970-01-02/hour=01")
    assert (span.start_ms, span.end_ms) == (86_400_000 + 3_600_000, 86_400_000 + 7_200_000)
