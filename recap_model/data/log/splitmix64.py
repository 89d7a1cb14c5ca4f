"""Bits that look random and follow from a number alone."""

import numpy as np
from numpy.typing import NDArray

GOLDEN = 0x9E3779B97F4A7C15


def mixed(numbers: NDArray[np.uint64], step: int = GOLDEN) -> NDArray[np.uint64]:
    """SplitMix64 of each number, of any shape: what the generator gives next from that state.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. No two numbers
    give the same bits; another odd ``step`` gives others.

    >>> mixed(np.array([0, 1], np.uint64)).tolist()
    [16294208416658607535, 10451216379200822465]
    """
    z = numbers + np.uint64(step)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
