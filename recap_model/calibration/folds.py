"""Which fold of the cross-validation a row belongs to."""

import zlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def assign_folds(ids: pa.Array, folds: int) -> NDArray[np.int64]:
    """Folds by a hash of int64 or string ids, so that all rows of one id share a fold: (rows,).

    The same id has the same fold in every process and every batch.

    >>> assign_folds(pa.array([7, 10, 7, None]), folds=5).tolist()
    [2, 1, 2, 0]
    """
    if pa.types.is_integer(ids.type):
        return (_mixed(ids.fill_null(0).to_numpy(zero_copy_only=False)) % np.uint64(folds)).astype(np.int64)
    encoded = ids.dictionary_encode(null_encoding="encode")
    hashes = [zlib.crc32(str(value).encode()) % folds for value in encoded.dictionary.to_pylist()]
    return np.array(hashes, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]


def _mixed(values: NDArray[np.integer]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014), which spreads neighbouring numbers."""
    mixed = values.astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
