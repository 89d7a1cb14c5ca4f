"""Posts created per day, and the pool from which a day's requests retrieve candidates."""

from dataclasses import dataclass, fields

import numpy as np

from pipeline.simulator.parameters import SampleParameters
from pipeline.simulator.population import INTERESTS, LANGUAGES, TOPICS, Population, unit
from pipeline.simulator.rng import DAY_OFFSET, Array, Stream, generator

DAY_MS = 86_400_000
POOL_DAYS = 2
MIN_POSTS, MAX_POSTS = 200, 400_000

# Activity by hour: low at night, a shoulder at midday, a peak in the evening.
HOURLY_ACTIVITY = np.array(
    [26, 18, 13, 10, 9, 11, 17, 27, 38, 44, 46, 48, 52, 50, 46, 45, 47, 52, 60, 68, 72, 68, 55, 40], float
)


@dataclass(frozen=True)
class Posts:
    """Posts in order of creation. Shape: latent (posts, interests); the others (posts,)."""

    post_id: Array
    author: Array
    created_ms: Array
    topic: Array
    language: Array
    latent: Array
    quality: Array
    toxicity: Array
    text_length: Array
    reach: Array
    has_video: Array
    has_image: Array
    has_link: Array
    is_reply: Array
    is_quote: Array
    media_duration_s: Array


def time_of_day_ms(fraction: Array) -> Array:
    """The time, in milliseconds after midnight, by which this fraction of the day's activity has happened."""
    steps = np.concatenate([[0.0], np.cumsum(HOURLY_ACTIVITY)]) / HOURLY_ACTIVITY.sum()
    return (np.interp(fraction, steps, np.arange(25) / 24.0) * (DAY_MS - 1)).astype(np.int64)


def start_of_day_ms(parameters: SampleParameters, number: int) -> int:
    """Start of day ``number``, which may be negative, in milliseconds since 1970-01-01 UTC."""
    return (parameters.start.toordinal() + number - EPOCH_ORDINAL) * DAY_MS


EPOCH_ORDINAL = 719_163


def candidate_pool(population: Population, number: int) -> Posts:
    """The posts of day ``number`` and of the `POOL_DAYS` days before it."""
    born = [_create_posts(population, day) for day in range(number - POOL_DAYS, number + 1)]
    return Posts(*(np.concatenate([getattr(posts, field.name) for posts in born]) for field in fields(Posts)))


def _create_posts(population: Population, number: int) -> Posts:
    parameters, authors, topics = population.parameters, population.authors, population.topics
    count = int(np.clip(parameters.rows_per_day // 10, MIN_POSTS, MAX_POSTS))
    random = generator(parameters.seed, Stream.POSTS, number + DAY_OFFSET)
    # A power of a uniform number favours the first authors of the table.
    author = (len(authors.topic) * random.random(count) ** 1.7).astype(np.int64)
    off_topic = random.random(count) < 0.25
    topic = np.where(off_topic, random.integers(0, TOPICS, count), authors.topic[author])
    direction = 0.6 * authors.latent[author] + 0.6 * topics.centroid[topic]
    has_video = random.random(count) < 0.3
    quality = 0.6 * authors.quality[author] + random.normal(0.0, 0.5, count)
    fraction = (np.arange(count) + random.random(count)) / count
    other_language = random.random(count) < 0.05
    return Posts(
        post_id=(number + DAY_OFFSET) * 1_000_000_000 + np.arange(count),
        author=author,
        created_ms=start_of_day_ms(parameters, number) + time_of_day_ms(fraction),
        topic=topic,
        language=np.where(other_language, random.integers(0, LANGUAGES, count), authors.language[author]),
        latent=unit(direction + random.normal(0.0, 0.15, (count, INTERESTS))),
        quality=quality,
        toxicity=authors.toxicity[author] * random.gamma(2.0, 0.5, count),
        text_length=np.clip(np.floor(random.lognormal(4.4, 0.8, count)), 1, 4_000),
        reach=random.lognormal(0.0, 0.8, count) * (30.0 + authors.followers[author]) ** 0.8 * np.exp(quality),
        has_video=has_video,
        has_image=~has_video & (random.random(count) < 0.35),
        has_link=random.random(count) < 0.15,
        is_reply=random.random(count) < 0.2,
        is_quote=random.random(count) < 0.1,
        media_duration_s=np.where(has_video, np.clip(random.lognormal(3.2, 1.0, count), 1.0, 7_200.0), 0.0),
    )
