"""Numbers that look random and follow from an id and a seed alone, so that no order of work changes them."""

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recap_model.data.log.splitmix64 import GOLDEN, mixed


def mix(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """`mixed` of each number, in another way for each seed: (rows,) uint64."""
    return mixed(numbers.astype(np.uint64), GOLDEN * (2 * seed + 1) % 2**64)


def uniform(numbers: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each number: (rows,) float64."""
    return (mix(numbers, seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def id_numbers(ids: pa.Array) -> NDArray[np.int64]:
    """An int64 for each id of any type: (rows,). Integers stand for themselves, a null is -1."""
    if pa.types.is_integer(ids.type):
        return ids.cast(pa.int64(), safe=False).fill_null(-1).to_numpy(zero_copy_only=False)
    encoded = ids.cast(pa.string()).dictionary_encode()
    digests = [_digest(text) for text in encoded.dictionary.to_pylist()]
    table = np.array([*digests, -1], dtype=np.int64)
    return table[encoded.indices.fill_null(len(digests)).to_numpy(zero_copy_only=False)]


def there(ids: pa.Array) -> NDArray[np.bool_]:
    """Which ids are no null: (rows,). Rows that lack an id have nothing in common by that."""
    present: NDArray[np.bool_] = ids.is_valid().to_numpy(zero_copy_only=False)
    return present


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
