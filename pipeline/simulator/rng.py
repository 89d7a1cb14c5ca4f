"""Independent random number streams, keyed so that each part of the log depends only on its own key."""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap_model.data.log.id_hashing import splitmix64

Array = NDArray[Any]

# Keys must not be negative; posts are created up to two days before day 0.
DAY_OFFSET = 1_000


class Stream(IntEnum):
    """Purpose of a stream; the value is part of the key and must never change."""

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
    MOODS = 15
    DWELL = 16
    ACTIONS = 17


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """A new generator of one stream, at its start."""
    return np.random.default_rng([seed, stream, *key])


def pair_uniform(seed: int, stream: Stream, left: Array, right: Array) -> Array:
    """A reproducible uniform number in (0, 1) for each pair of ids, without a table of pairs.

    ``left`` and ``right`` are integer arrays of shapes that broadcast.
    """
    salt = np.random.default_rng([seed, stream]).integers(0, 2**63, 1).astype(np.uint64)
    bits = splitmix64(splitmix64(left.astype(np.uint64) + salt) + right.astype(np.uint64))
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
