"""Normalise Arrow columns: decode dictionaries, views and extensions; timestamps to milliseconds."""

import pyarrow as pa
import pyarrow.compute as pc

# Milliseconds from 1973 to 5138; the same days in seconds are below, in microseconds above.
FIRST_PLAUSIBLE_MS, LAST_PLAUSIBLE_MS = 1e11, 1e14

# Logs write -1, 0001-01-01, 1900-01-01, 9999-12-31 or the largest number of the column's type where there is no time.
_FIRST_TIME_MS = -2_208_902_400_000  # 1900-01-02
_FIRST_SENTINEL_MS, FIRST_OTHER_UNIT_MS = (
    10**14,
    10**15,
)  # the years 5138 and 33658: later is a time in another unit
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
SENTINELS_IN_WORDS = "-1, before 1900-01-02 or after 5138 (as 9999-12-31), or the largest number of the type"


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values: `decoded` makes a column of it.

    A dictionary or a run counts as its values, an extension (UUID, tensor, bool8) as its storage, a view as what it
    is a view of, half precision as single precision.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return pa.large_list(kind.value_type)
    return _PLAIN.get(kind, kind)


_PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary(), pa.float16(): pa.float32()}


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of words, however they are encoded."""
    kind = plain_type(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_timestamp(kind: pa.DataType) -> bool:
    """Whether a column is of timestamps or dates, whose type says their unit."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column is of bytes, of one length or any, however they are encoded."""
    kind = plain_type(kind)
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests) and not pa.types.is_decimal(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column is of lists, of one length or any."""
    kind = plain_type(kind)
    return any(test(kind) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def decoded(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece and of its `plain_type`, as PyArrow has not all kernels for the others."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    while column.type != (plain := plain_type(column.type)):
        if isinstance(column.type, pa.BaseExtensionType):
            column = column.storage
        elif pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        elif pa.types.is_run_end_encoded(column.type):
            column = pc.run_end_decode(column)
        elif pa.types.is_list_view(column.type) or pa.types.is_large_list_view(column.type):
            column = _lists_of_views(column)
        else:
            column = column.cast(plain)
    return column


def _lists_of_views(column: pa.Array) -> pa.LargeListArray:
    # PyArrow's own cast writes offsets that fall where a null lies before a list (seen in 25.0).
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array([0, *lengths.cumsum().tolist()], pa.int64())
    return pa.LargeListArray.from_arrays(offsets, pc.list_flatten(column), mask=column.is_null())


def decoded_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows whose columns are of their plain types; the same where all are."""
    if all(plain_type(kind) == kind for kind in rows.schema.types):
        return rows
    return pa.RecordBatch.from_arrays([decoded(column) for column in rows.columns], rows.schema.names)


def milliseconds(times: pa.Array, what: str) -> pa.Array:
    """Times as whole milliseconds since 1970-01-01 UTC, int64; a date, or a timestamp without a zone, is of UTC.

    What logs write where there is no time is null: -1, the largest and the smallest number of the column's type, and
    times before 1900-01-02 or from the year 5138 on. No value wraps around. Integers that are a time in microseconds
    or nanoseconds stay as they are: validate refuses them, and derived columns take them as missing.

    Raises ValueError beginning with ``what`` for a column that is no time.
    """
    kind = times.type
    if pa.types.is_null(kind):
        return times.cast(pa.int64())
    if pa.types.is_date(kind):
        times = times.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    elif not (pa.types.is_integer(kind) or is_timestamp(kind)):
        raise ValueError(
            f"{what} is {kind}; a time is a timestamp, or whole milliseconds since 1970-01-01 UTC"
        )
    kind = times.type
    if not pa.types.is_timestamp(kind):
        return _without_sentinels(times, "ms").cast(pa.int64())
    numbers = _without_sentinels(times.cast(pa.int64()), kind.unit)
    return numbers.cast(pa.timestamp(kind.unit)).cast(pa.timestamp("ms"), safe=False).cast(pa.int64())


def _without_sentinels(numbers: pa.Array, unit: str) -> pa.Array:
    """Integers of a unit, with null for those that stand for no time."""
    kind = numbers.type
    unsigned = pa.types.is_unsigned_integer(kind)
    most_ms = (2**63 - 1) // (1000 if unit == "s" else 1)  # more are no int64 as milliseconds
    largest = min(2 ** (kind.bit_width - (not unsigned)) - 1, most_ms)

    def at(milliseconds: int) -> pa.Scalar:
        number = milliseconds * _PER_SECOND[unit] // 1000
        return pa.scalar(min(max(number, 0 if unsigned else -largest), largest), kind)

    is_time = pc.less(numbers, pa.scalar(largest, kind))
    if not unsigned:
        is_time = pc.and_(is_time, pc.greater_equal(numbers, at(_FIRST_TIME_MS)))
        is_time = pc.and_(is_time, pc.not_equal(numbers, pa.scalar(-1, kind)))
        is_time = pc.and_(is_time, pc.greater(numbers, pa.scalar(-largest - 1, kind)))
    sentinel = pc.greater_equal(numbers, at(_FIRST_SENTINEL_MS))
    sentinel = pc.and_(sentinel, pc.less(numbers, at(FIRST_OTHER_UNIT_MS)))
    return pc.if_else(pc.and_not(is_time, sentinel), numbers, pa.scalar(None, kind))
