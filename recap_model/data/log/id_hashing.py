"""Normalise ids of every Arrow type, and hash them.

An id is an integer of any width and sign, text, or binary; `normalized_ids` makes int64 or text of it, and all hashes
start there, so that equal ids of different Arrow types hash equal. Each use has a hash of its own, whose values are
kept in registered models, data sets and splits and therefore never change:

| hash | of | used by |
|---|---|---|
| `feature_ids` | text: 52 bits of BLAKE2b | discrete columns, id lists, crosses |
| `hash_buckets` | int64: Carter-Wegman | tables with ``hash`` |
| `id_numbers` | text: 64 bits of BLAKE2b | split, duplicates, resampling by user or request |
| `sketch_hashes` | text: pandas' SipHash | the number of distinct ids in a profile |
| `assign_folds` | text: CRC32 | folds of the calibration's cross-validation |
| `splitmix64` | int64 | all of them, and draws that follow from a row's number or id |
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recap_model.data.log.columns import decoded, is_binary, is_text

if TYPE_CHECKING:
    from torch import Tensor

Ids = TypeVar("Ids", NDArray[np.int64], "Tensor")

MOST_HASHES = 16
"""Entries that an id of a table with ``hashes`` may read."""

MISSING_ID = -1
"""Stands for a missing id where ids are int64."""

WORD_BITS = 52  # exact as float64, too: of a million words two share a hash in one set of 9,000
_UUID_BYTES = 16
_GOLDEN = 0x9E3779B97F4A7C15
_PRIME = 2**31 - 1
# Chosen by chance, once: with others, the entries of a model trained before would be other ids'.
_LOW, _HIGH, _SHIFT = 1_392_580_187, 716_413_027, 1_999_340_471


def normalized_ids(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Ids as int64, or as text where they are text or binary; null stays null.

    An unsigned integer from 2^63 on is the int64 of the same bits. A binary id is its UUID's text if it has 16 bytes,
    else its UTF-8 text, else hexadecimal, so that the same id can be given in JSON.

    Raises TypeError for a column of another type.

    >>> normalized_ids(pa.array([bytes(range(16)), b"c7", None])).to_pylist()
    ['00010203-0405-0607-0809-0a0b0c0d0e0f', 'c7', None]
    """
    ids = decoded(ids)
    if pa.types.is_integer(ids.type) or pa.types.is_boolean(ids.type) or pa.types.is_null(ids.type):
        return ids.cast(pa.int64(), safe=False)
    if is_text(ids.type):
        return ids.cast(pa.string())
    if is_binary(ids.type):
        coded = ids.dictionary_encode()
        texts = pa.array(map(_binary_to_text, coded.dictionary.to_pylist()), pa.string())
        return texts.take(coded.indices)
    raise TypeError(f"{ids.type} is no type of ids")


def is_present(ids: pa.Array) -> NDArray[np.bool_]:
    """Which ids are not null: (rows,). Rows without an id have nothing in common."""
    present: NDArray[np.bool_] = ids.is_valid().to_numpy(zero_copy_only=False)
    return present


def feature_ids(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Ids as the model reads them, int64: integers as they are, text by its hash of 0 to 2^52 - 1; null stays null.

    The hash is the upper 52 of BLAKE2b's (RFC 7693) first 64 bits. Raises as `normalized_ids`.
    """
    normal = normalized_ids(ids)
    return _map_distinct(normal, _hash_to_id) if is_text(normal.type) else normal


def id_numbers(ids: pa.Array) -> NDArray[np.int64]:
    """An int64 for each id: (rows,). Integers stand for themselves, text for 64 bits of BLAKE2b, a null for -1."""
    normal = normalized_ids(ids)
    if is_text(normal.type):
        normal = _map_distinct(normal, _hash_to_int64)
    return normal.fill_null(MISSING_ID).to_numpy(zero_copy_only=False)


def sketch_hashes(ids: pa.Array) -> NDArray[np.uint64]:
    """A hash of each id, (rows,), a null's being that of 0 or of no text: fast, for counting distinct ids."""
    from pandas.util import hash_array

    normal = normalized_ids(ids)
    if not is_text(normal.type):
        return splitmix64(normal.fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64))
    coded = normal.fill_null("").dictionary_encode()
    texts = coded.dictionary.to_numpy(zero_copy_only=False)
    hashes: NDArray[np.uint64] = hash_array(texts, categorize=False)[coded.indices.to_numpy()]
    return hashes


def assign_folds(ids: pa.Array, folds: int) -> NDArray[np.int64]:
    """Folds by a hash of the ids, so that all rows of one id share a fold: (rows,).

    The same id has the same fold in every process and every batch.

    >>> assign_folds(pa.array([7, 10, 7, None]), folds=5).tolist()
    [2, 1, 2, 0]
    """
    normal = normalized_ids(ids)
    if not is_text(normal.type):
        numbers = normal.fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
        return (splitmix64(numbers) % np.uint64(folds)).astype(np.int64)
    encoded = normal.dictionary_encode(null_encoding="encode")
    hashes = [zlib.crc32(str(value).encode()) % folds for value in encoded.dictionary.to_pylist()]
    return np.array(hashes, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]


def hash_buckets(ids: Ids, buckets: "int | Ids", number: int = 0) -> Ids:
    """The bucket of each id, 0 to ``buckets - 1``: ``((a low + b high + c) mod p) mod buckets``.

    ``low`` and ``high`` are the lower digits of an id to the base p = 2^31 - 1; a family of hashes of which two ids
    below p^2 share a bucket with probability 1/buckets (Carter and Wegman, "Universal classes of hash functions",
    JCSS 18, 1979). Division rounds down, so that both digits of a negative id are not negative. No product leaves
    int64, and every operation has a counterpart in ONNX.

    Args:
        ids: any shape of int64.
        number: which hash of the family, 0 to `MOST_HASHES` - 1; two of them are independent.

    >>> hash_buckets(np.array([0, 1, 2, 2**62, -77]), 1000).tolist()
    [471, 11, 551, 418, 395]
    """
    low, high, shift = _COEFFICIENTS[number]
    return ((ids % _PRIME) * low + (ids // _PRIME % _PRIME) * high + shift) % _PRIME % buckets


def splitmix64(numbers: NDArray[np.uint64], step: int = _GOLDEN) -> NDArray[np.uint64]:
    """SplitMix64 of each number, of any shape: what the generator gives next from that state.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. No two numbers
    give the same bits; another odd ``step`` gives others.

    >>> splitmix64(np.array([0, 1], np.uint64)).tolist()
    [16294208416658607535, 10451216379200822465]
    """
    z = numbers + np.uint64(step)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _coefficients() -> Iterator[tuple[int, int, int]]:
    """a, b and c of each hash of the family; but for the first, they follow from its number and never change."""
    yield _LOW, _HIGH, _SHIFT
    for number in range(1, MOST_HASHES):
        drawn = splitmix64(np.arange(3 * number, 3 * number + 3, dtype=np.uint64)) % np.uint64(_PRIME - 1)
        low, high, shift = (drawn + np.uint64(1)).tolist()
        yield low, high, shift


_COEFFICIENTS = tuple(_coefficients())  # not on demand: a compiled net takes them as constants


def seeded_hash(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A seeded hash of each number: `splitmix64` with a seed-dependent step, (rows,) uint64."""
    return splitmix64(numbers.astype(np.uint64), _GOLDEN * (2 * seed + 1) % 2**64)


def uniform(numbers: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A deterministic uniform draw in [0, 1) for each number, independent of processing order: (rows,) float64."""
    return (seeded_hash(numbers, seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _map_distinct(words: pa.Array, number_of: Callable[[str], int]) -> pa.Array:
    coded = words.dictionary_encode()
    return pa.array(map(number_of, coded.dictionary.to_pylist()), pa.int64()).take(coded.indices)


def _hash_to_id(word: str) -> int:
    return int.from_bytes(_digest(word), "little") >> (64 - WORD_BITS)


def _hash_to_int64(word: str) -> int:
    return int.from_bytes(_digest(word), "little", signed=True)


def _digest(word: str) -> bytes:
    return hashlib.blake2b(word.encode(), digest_size=8).digest()


def _binary_to_text(value: Any) -> str:
    if len(value) == _UUID_BYTES:
        return str(UUID(bytes=value))
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        return f"0x{value.hex()}"
