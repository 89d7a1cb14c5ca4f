"""Which fold of the cross-validation a row belongs to."""

import zlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recap_model.data.log.splitmix64 import mixed


def assign_folds(ids: pa.Array, folds: int) -> NDArray[np.int64]:
    """Folds by a hash of int64 or string ids, so that all rows of one id share a fold: (rows,).

    The same id has the same fold in every process and every batch.

    >>> assign_folds(pa.array([7, 10, 7, None]), folds=5).tolist()
    [2, 1, 2, 0]
    """
    if pa.types.is_integer(ids.type):
        numbers = ids.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
        return (mixed(numbers) % np.uint64(folds)).astype(np.int64)
    encoded = ids.dictionary_encode(null_encoding="encode")
    hashes = [zlib.crc32(str(value).encode()) % folds for value in encoded.dictionary.to_pylist()]
    return np.array(hashes, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
