"""Numbered streams of random numbers, so that a part of the log depends on its own key and nothing else."""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap_model.data.log.id_hashing import splitmix64

Array = NDArray[Any]

# A key of a stream may not be negative; posts are born up to two days before day 0.
DAY_OFFSET = 1_000


class Stream(IntEnum):
    """What a stream is for; the value is part of the key, so it never changes."""

    TOPICS = 1
    USERS = 2
    AUTHORS = 3
    EMBEDDINGS = 4
    DRIFT = 5
    POSTS = 6
    REQUESTS = 7
    ENGAGEMENTS = 8
    FLAWS = 9
    FOLLOWS = 10
    FOLLOWED_BACK = 11
    PAST_LIKES = 12
    PAST_REPLIES = 13
    LAST_SEEN = 14


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """The generator of one stream, always at its beginning."""
    return np.random.default_rng([seed, stream, *key])


def pair_uniform(seed: int, stream: Stream, left: Array, right: Array) -> Array:
    """A number in (0, 1) for each pair of ids, the same whenever the pair is met: no table of pairs is kept.

    ``left`` and ``right`` are integer arrays of shapes that broadcast.
    """
    salt = np.random.default_rng([seed, stream]).integers(0, 2**63, 1).astype(np.uint64)
    bits = splitmix64(splitmix64(left.astype(np.uint64) + salt) + right.astype(np.uint64))
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
