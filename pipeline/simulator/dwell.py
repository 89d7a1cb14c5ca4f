"""Dwell time: seconds spent on a post, with their true expectation.

The time is that of reading, which is 0 where the post was not examined, plus that of each engagement. Reading is
drawn independently of the engagements, given everything simulated before, so that the expectation is exact:
``P(examined) * E[reading] + sum over tasks of P(task) * E[seconds of the task]``.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.simulator.impressions import Impressions
from pipeline.simulator.labels import (
    AUTHOR_ENGAGED,
    CLICKED_ENGAGED,
    CLICKED_STAYED,
    FAVORITED,
    NEGATIVE,
    PROFILE,
    REPLIED,
    REPORTED,
    RETWEETED,
    VIDEO,
    Engagements,
    examination_probability,
)
from pipeline.simulator.population import Day, Population
from pipeline.simulator.posts import Posts
from pipeline.simulator.rng import DAY_OFFSET, Array, Stream, generator

# Mean seconds that an engagement adds.
ENGAGEMENT_SECONDS = {
    FAVORITED: 1.0, RETWEETED: 3.0, REPLIED: 25.0, PROFILE: 15.0, VIDEO: 12.0, AUTHOR_ENGAGED: 10.0,
    CLICKED_ENGAGED: 10.0, CLICKED_STAYED: 40.0, NEGATIVE: 3.0, REPORTED: 8.0,
}  # fmt: skip
OTHER_SECONDS = 2.0
READING_SHAPE, ENGAGEMENT_SHAPE = 3.0, 2.0


@dataclass(frozen=True)
class Dwell:
    """Shape: (rows,). Seconds on the post, and their expectation before the engagements are drawn."""

    seconds: Array
    expected: Array


def make_dwell(
    population: Population, day: Day, posts: Posts, shown: Impressions, engaged: Engagements, block: int
) -> Dwell:
    """Draw the dwell times of a block of impressions."""
    random = generator(population.parameters.seed, Stream.DWELL, day.number + DAY_OFFSET, block)
    rows = len(shown.user)
    added = np.array([ENGAGEMENT_SECONDS.get(task, OTHER_SECONDS) for task in engaged.tasks])
    reading = _mean_reading_s(population, posts, shown)
    examined = examination_probability(shown.position)
    read = (random.random(rows) < examined) * random.gamma(READING_SHAPE, 1.0 / READING_SHAPE, rows)
    acted = random.gamma(ENGAGEMENT_SHAPE, 1.0 / ENGAGEMENT_SHAPE, rows)
    return Dwell(
        seconds=read * reading + acted * (engaged.labels * added).sum(axis=1),
        expected=examined * reading + (engaged.truth * added).sum(axis=1),
    )


def _mean_reading_s(population: Population, posts: Posts, shown: Impressions) -> Array:
    """Mean seconds that an examined post is read: longer for long posts and videos, and for what the user likes."""
    post = shown.post
    length = np.log(posts.text_length[post] / 80.0)
    video = population.users.style[shown.user, 3]
    return np.exp(0.6 + 0.5 * shown.relevance + 0.25 * length + posts.has_video[post] * (0.5 + 0.4 * video))
