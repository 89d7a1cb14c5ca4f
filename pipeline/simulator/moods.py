"""Moods: how a user's taste departs from the day's interests, hour by hour."""

import numpy as np

from pipeline.simulator.population import INTERESTS, unit
from pipeline.simulator.rng import Array, Stream, pair_uniform

MOOD_HOURS = 4.0
MOOD_LENGTH = 0.9


def mood(seed: int, user: Array, served_ms: Array) -> Array:
    """The vector by which each user's taste departs from the day's interests, (rows, interests), of `MOOD_LENGTH`.

    It turns from one random direction to the next within `MOOD_HOURS`, so that events of the last hours tell it,
    older ones do not, and neither do embeddings computed the night before.
    """
    position = served_ms / (MOOD_HOURS * 3_600_000)
    start = np.floor(position).astype(np.int64)
    angle = (position - start)[:, None] * (np.pi / 2.0)
    turning = np.cos(angle) * _direction(seed, user, start) + np.sin(angle) * _direction(
        seed, user, start + 1
    )
    return MOOD_LENGTH * unit(turning)


def _direction(seed: int, user: Array, number: Array) -> Array:
    key = number[:, None] * INTERESTS + np.arange(INTERESTS)
    return unit(pair_uniform(seed, Stream.MOODS, user[:, None], key) - 0.5)
