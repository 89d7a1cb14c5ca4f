"""Compute derived columns."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recap_model.config.data.derived import DerivedColumn
from recap_model.data.log.columns import FIRST_OTHER_UNIT_MS, decoded, milliseconds
from recap_model.data.log.id_hashing import splitmix64
from recap_model.data.log.values import read_ids

_MS_PER_HOUR = 3_600_000.0

Compute = Callable[..., pa.Array]


def derive(column: DerivedColumn, sources: list[pa.Array], where: str) -> pa.Array:
    """A derived column of rows: float64, or int64 for whole numbers.

    Args:
        sources: the columns that it is ``of``, in order; a dictionary-encoded one counts as its values.
        where: names the rows and the column in errors.

    Raises:
        ValueError: a source is not of a type that the kind can be computed from; it is named.
    """
    if column.kind == "cross":
        assert column.buckets is not None
        hashes, missing = _hashes(_all_ids(column, sources, where))
        return pa.array((hashes % np.uint64(column.buckets)).astype(np.int64), mask=missing)
    numbers = [
        _numbers(array, column.is_of_times, f"{where}: {name}")
        for name, array in zip(column.of, sources, strict=True)
    ]
    return _COMPUTE[column.kind](*numbers)


def crossed(column: DerivedColumn, sources: list[pa.Array], where: str) -> NDArray[np.uint64]:
    """What a cross hashes into its buckets, one number for each tuple of ids, without rows that miss one.

    Args and errors are those of `derive`.
    """
    hashes, missing = _hashes(_all_ids(column, sources, where))
    return hashes[~missing]


def _ratio(first: pa.Array, second: pa.Array) -> pa.Array:
    return pc.divide(first, pc.if_else(pc.equal(second, 0.0), pa.scalar(None, pa.float64()), second))


def _hour(time: pa.Array) -> pa.Array:
    return pc.hour(time.cast(pa.timestamp("ms"))).cast(pa.int64())


def _day(time: pa.Array) -> pa.Array:
    return pc.day_of_week(time.cast(pa.timestamp("ms"))).cast(pa.int64())


def _hours(earlier: pa.Array, later: pa.Array) -> pa.Array:
    # As float64 the difference of any two numbers is exact enough, and does not wrap around.
    return pc.divide(
        pc.subtract(*(time.cast(pa.float64(), safe=False) for time in (later, earlier))), _MS_PER_HOUR
    )


_COMPUTE: dict[str, Compute] = {
    "ratio": _ratio,
    "difference": pc.subtract,
    "product": pc.multiply,
    "hour_of_day": _hour,
    "day_of_week": _day,
    "hours_between": _hours,
}


def _numbers(array: pa.Array, times: bool, what: str) -> pa.Array:
    array = decoded(array)
    if times:
        time = milliseconds(array, what)
        return pc.if_else(pc.less(time, FIRST_OTHER_UNIT_MS), time, pa.scalar(None, pa.int64()))
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    return array.cast(pa.float64(), safe=False)


def _all_ids(column: DerivedColumn, sources: list[pa.Array], where: str) -> list[pa.Array]:
    return [read_ids(array, f"{where}: {name}") for name, array in zip(column.of, sources, strict=True)]


def _hashes(ids: list[pa.Array]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """A number for each row's ids, and whether one of them is missing."""
    hashes = np.zeros(len(ids[0]), dtype=np.uint64)
    missing = np.zeros(len(ids[0]), dtype=bool)
    for column in ids:
        missing |= column.is_null().to_numpy(zero_copy_only=False)
        numbers = column.fill_null(0).to_numpy(zero_copy_only=False)
        # Mixed after each column, which keeps (1, 2) and (2, 1) apart.
        hashes = splitmix64(hashes + numbers.astype(np.uint64))
    return hashes, missing
