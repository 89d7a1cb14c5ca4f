"""Numbers that look random and follow from an id and a seed alone, so that no order of work changes them."""

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_STEP = np.uint64(0x9E3779B97F4A7C15)


def mix(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """SplitMix64 (Steele et al., OOPSLA 2014) of each number, with a seed: (rows,) uint64."""
    z = numbers.astype(np.uint64) + np.uint64(int(_STEP) * (2 * seed + 1) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * _MIX[0]
    z = (z ^ (z >> np.uint64(27))) * _MIX[1]
    return z ^ (z >> np.uint64(31))


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


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
