"""Columns in the forms that logs have: words become ids, timestamps milliseconds, dictionaries their values."""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

WORD_BITS = (
    52  # a hash of so many bits is exact as float64, too: of a million words one pair in 9,000 sets collides
)


# Milliseconds from 1973 to 5138; the same days in seconds are below, in microseconds above.
FIRST_PLAUSIBLE_MS, LAST_PLAUSIBLE_MS = 1e11, 1e14

# Logs write -1, 0001-01-01, 1900-01-01, 9999-12-31 or the largest number of the column's type where there is no time.
_FIRST_TIME_MS = -2_208_902_400_000  # 1900-01-02
_FIRST_SENTINEL_MS, _FIRST_OTHER_UNIT_MS = (
    10**14,
    10**15,
)  # the years 5138 and 33658: later is a time in another unit
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
SENTINELS_IN_WORDS = "-1, before 1900-01-02 or after 5138 (as 9999-12-31), or the largest number of the type"


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, which a dictionary-encoded one keeps apart."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of words, encoded as a dictionary or not."""
    kind = plain_type(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether `milliseconds` reads such a column."""
    return bool(pa.types.is_integer(kind) or is_timestamp(kind))


def is_timestamp(kind: pa.DataType) -> bool:
    """Whether a column is of timestamps or dates, whose type says their unit."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def decoded(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece, without a dictionary or a view, whose kernels PyArrow does not all have."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string()) if pa.types.is_string_view(column.type) else column


def decoded_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows whose columns have no dictionaries and views; the same where none has."""
    if not any(pa.types.is_dictionary(kind) or pa.types.is_string_view(kind) for kind in rows.schema.types):
        return rows
    return pa.RecordBatch.from_arrays([decoded(column) for column in rows.columns], rows.schema.names)


def word_ids(words: pa.Array) -> pa.Array:
    """An id for each word, int64 from 0 to 2^52 - 1: its hash (BLAKE2b, RFC 7693). Null stays null."""
    coded = words.dictionary_encode()
    ids = pa.array([_word_id(word) for word in coded.dictionary.to_pylist()], pa.int64())
    return ids.take(coded.indices)


def milliseconds(times: pa.Array, what: str) -> pa.Array:
    """Times as whole milliseconds since 1970-01-01 UTC, int64; a date, or a timestamp without a zone, is of UTC.

    What logs write where there is no time is null: -1, the largest and the smallest number of the column's type, and
    times before 1900-01-02 or from the year 5138 on. No value wraps around. Integers that are a time in microseconds
    or nanoseconds stay as they are, for `recap_model` cannot tell: validate refuses them.

    Raises ValueError beginning with ``what`` for a column that `is_time` does not accept.
    """
    kind = times.type
    if pa.types.is_null(kind):
        return times.cast(pa.int64())
    if pa.types.is_date(kind):
        times = times.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    elif not is_time(kind):
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
    sentinel = pc.and_(sentinel, pc.less(numbers, at(_FIRST_OTHER_UNIT_MS)))
    return pc.if_else(pc.and_not(is_time, sentinel), numbers, pa.scalar(None, kind))


def _word_id(word: str) -> int:
    digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - WORD_BITS)
