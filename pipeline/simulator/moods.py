"""Moods: how a user's taste departs from the day's interests, hour by hour."""

import numpy as np

from pipeline.simulator.population import TOPICS, Population
from pipeline.simulator.rng import Array, Stream, pair_uniform

MOOD_HOURS = 6.0
MOOD_LENGTH = 1.0


def mood(population: Population, user: Array, served_ms: Array) -> Array:
    """The vector by which each user's taste departs from the day's interests, (rows, interests).

    It turns from one topic to another within `MOOD_HOURS`, so that events of the last hours tell it, older ones do
    not, and neither do embeddings computed the night before.
    """
    position = served_ms / (MOOD_HOURS * 3_600_000)
    start = np.floor(position).astype(np.int64)
    angle = (position - start)[:, None] * (np.pi / 2.0)
    first, second = (population.topics.centroid[_topic(population, user, start + step)] for step in (0, 1))
    return MOOD_LENGTH * (np.cos(angle) * first + np.sin(angle) * second)


def _topic(population: Population, user: Array, number: Array) -> Array:
    uniform = pair_uniform(population.parameters.seed, Stream.MOODS, user, number)
    return (uniform * TOPICS).astype(np.int64)
