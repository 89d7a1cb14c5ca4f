"""Ids hashed into the entries of a table: the same in numpy, where they are counted, and in torch."""

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Ids = TypeVar("Ids", NDArray[np.int64], "Tensor")

_PRIME = 2**31 - 1
# Chosen by chance, once: with others, the entries of a model trained before would be other ids'.
_LOW, _HIGH, _SHIFT = 1_392_580_187, 716_413_027, 1_999_340_471


def hashed(ids: Ids, places: "int | Ids") -> Ids:
    """The place of each id, 0 to ``places - 1``: ``((a low + b high + c) mod p) mod places``.

    ``low`` and ``high`` are the digits of an id to the base p = 2^31 - 1; a family of hashes of which two ids share a
    place with probability 1/places (Carter and Wegman, "Universal classes of hash functions", JCSS 18, 1979). No
    product leaves int64, and every operation has a counterpart in ONNX.

    Args:
        ids: any shape of int64, none negative.

    >>> hashed(np.array([0, 1, 2, 2**62]), 1000).tolist()
    [471, 11, 551, 418]
    """
    return ((ids % _PRIME) * _LOW + (ids // _PRIME % _PRIME) * _HIGH + _SHIFT) % _PRIME % places
