"""Columns in the forms that logs have: words become ids, timestamps milliseconds, dictionaries their values."""

import hashlib

import pyarrow as pa

_WORD_BITS = (
    52  # a hash of so many bits is exact as float64, too: of a million words one pair in 9,000 sets collides
)


# Milliseconds from 1973 to 5138; the same days in seconds are below, in microseconds above.
FIRST_PLAUSIBLE_MS, LAST_PLAUSIBLE_MS = 1e11, 1e14


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, which a dictionary-encoded one keeps apart."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of words, encoded as a dictionary or not."""
    kind = plain_type(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether `milliseconds` reads such a column."""
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


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
    """Times as whole milliseconds since 1970-01-01 UTC, int64; a timestamp without a time zone is of UTC.

    Raises ValueError beginning with ``what`` for a column that `is_time` does not accept.
    """
    kind = times.type
    if pa.types.is_timestamp(kind):
        return times.cast(pa.timestamp("ms", kind.tz), safe=False).cast(pa.int64())
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return times.cast(pa.int64(), safe=False)
    raise ValueError(f"{what} is {kind}; a time is a timestamp, or whole milliseconds since 1970-01-01 UTC")


def _word_id(word: str) -> int:
    digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _WORD_BITS)
