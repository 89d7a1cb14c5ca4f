"""Requests of 10 to 20 candidates, ranked by a noisy earlier ranker, and their impression times."""

from dataclasses import dataclass

import numpy as np

from pipeline.simulator.moods import mood
from pipeline.simulator.population import Day, Population, sigmoid
from pipeline.simulator.posts import DAY_MS, Posts, start_of_day_ms, time_of_day_ms
from pipeline.simulator.rng import DAY_OFFSET, Array, Stream, generator, pair_uniform

MIN_CANDIDATES, MAX_CANDIDATES = 10, 20
RETRIEVED = 40
MAX_AGE_MS = 2 * DAY_MS
RANKER_NOISE = 2.0
AFFINITY_WEIGHT = 3.2
LATE_IMPRESSION_FRACTION = 0.03
LATE_IMPRESSION_MEAN_MS = 2.5 * 3_600_000
REQUESTS_PER_BLOCK = 10_000


@dataclass(frozen=True)
class Impressions:
    """Rows in the order of their requests and positions. Shape: (rows,).

    ``user``, ``post`` and ``author`` are indices into the tables of the population and the pool. ``relevance`` is the
    common term of all engagements, in log odds.
    """

    request_id: Array
    user: Array
    post: Array
    author: Array
    position: Array
    served_ms: Array
    impressed_ms: Array
    age_hours: Array
    hour: Array
    affinity: Array
    follows: Array
    same_language: Array
    relevance: Array


def make_impressions(
    population: Population, day: Day, posts: Posts, block: int, rows: int, span: tuple[float, float]
) -> Impressions:
    """Block ``block`` of a day: ``rows`` impressions, served in the interval ``span`` of the day's activity.

    The last request is truncated to the number of rows.
    """
    seed = population.parameters.seed
    random = generator(seed, Stream.REQUESTS, day.number + DAY_OFFSET, block)
    sizes = _request_sizes(random, rows)
    requests = len(sizes)
    user = np.searchsorted(population.users.activity, random.random(requests) * 0.999999)
    fraction = span[0] + (span[1] - span[0]) * np.sort(random.random(requests))
    served = start_of_day_ms(population.parameters, day.number) + time_of_day_ms(fraction)
    candidates = _retrieve(random, posts, served)
    scored = _relevance(population, day, posts, user[:, None], candidates, served[:, None])
    score = scored["relevance"] + random.normal(0.0, RANKER_NOISE, candidates.shape)
    order = np.argsort(-score, axis=1, kind="stable")[:, :MAX_CANDIDATES]
    shown = np.arange(MAX_CANDIDATES) < sizes[:, None]

    def ranked(values: Array) -> Array:
        return np.take_along_axis(values, order, axis=1)[shown]

    position = np.broadcast_to(np.arange(MAX_CANDIDATES), shown.shape)[shown]
    post = ranked(candidates)
    row_served = np.repeat(served, sizes)
    ranked_rows = {name: ranked(values) for name, values in scored.items()}
    if population.parameters.history:
        # The earlier ranker does not know the mood, the user acts on it.
        taste = mood(population, np.repeat(user, sizes), row_served)
        departure = np.einsum("rk,rk->r", taste, posts.latent[post])
        ranked_rows["affinity"] = ranked_rows["affinity"] + departure
        ranked_rows["relevance"] = ranked_rows["relevance"] + AFFINITY_WEIGHT * departure
    first_request = (day.number + 1) * 10_000_000_000 + block * REQUESTS_PER_BLOCK
    return Impressions(
        request_id=np.repeat(first_request + np.arange(requests), sizes),
        user=np.repeat(user, sizes),
        post=post,
        author=posts.author[post],
        position=position,
        served_ms=row_served,
        impressed_ms=row_served + _impression_delay_ms(random, position),
        hour=(row_served // 3_600_000) % 24,
        **ranked_rows,
    )


def _request_sizes(random: np.random.Generator, rows: int) -> Array:
    sizes = random.integers(MIN_CANDIDATES, MAX_CANDIDATES + 1, rows // MIN_CANDIDATES + 1)
    total = np.cumsum(sizes)
    requests = int(np.searchsorted(total, rows)) + 1
    sizes = sizes[:requests]
    sizes[-1] -= total[requests - 1] - rows
    return sizes


def _retrieve(random: np.random.Generator, posts: Posts, served: Array) -> Array:
    """Indices of distinct posts in the pool, recent ones more often: (requests, `RETRIEVED`)."""
    newest = np.searchsorted(posts.created_ms, served)
    eligible = newest - np.searchsorted(posts.created_ms, served - MAX_AGE_MS)
    # One draw from each stratum, which grows with age and holds at least one post, gives distinct posts.
    spare = (eligible - RETRIEVED)[:, None]
    steps = np.arange(RETRIEVED + 1)
    bounds = steps + np.floor(spare * (steps / RETRIEVED) ** 1.6).astype(np.int64)
    width = np.diff(bounds, axis=1)
    behind = bounds[:, :-1] + (random.random(width.shape) * width).astype(np.int64)
    return newest[:, None] - 1 - behind


def _relevance(
    population: Population, day: Day, posts: Posts, user: Array, post: Array, served: Array
) -> dict[str, Array]:
    """Relevance of each candidate and its terms, each (requests, retrieved)."""
    seed, users, topics = population.parameters.seed, population.users, population.topics
    author, topic = posts.author[post], posts.topic[post]
    affinity = np.einsum("rk,rck->rc", day.interest[user[:, 0]], posts.latent[post])
    # Following depends on the interests of day 0.
    liking = np.einsum("rk,rck->rc", users.interest[user[:, 0]], population.authors.latent[author])
    follows = pair_uniform(seed, Stream.FOLLOWS, user, author) < sigmoid(3.5 * liking - 1.5)
    age_hours = (served - posts.created_ms[post]) / 3_600_000
    same_language = users.language[user] == posts.language[post]
    hour = served / 3_600_000 % 24
    relevance = (
        AFFINITY_WEIGHT * affinity
        + 0.6 * posts.quality[post]
        + 0.5 * follows
        + 0.8 * same_language
        + topics.by_language[topic, users.language[user]]
        + day.topic_appeal[topic]
        + 0.8 * np.cos(2.0 * np.pi * (hour - topics.peak_hour[topic]) / 24.0)
        - topics.decay[topic] * np.log1p(age_hours)
    )
    return {
        "age_hours": age_hours,
        "affinity": affinity,
        "follows": follows,
        "same_language": same_language,
        "relevance": relevance,
    }


def _impression_delay_ms(random: np.random.Generator, position: Array) -> Array:
    """Delay by scrolling, a few seconds per position, and long delays of lists that are viewed late."""
    scrolling = 400.0 + random.exponential(2_500.0, len(position)) * (1.0 + position)
    late = random.random(len(position)) < LATE_IMPRESSION_FRACTION
    return (scrolling + late * random.exponential(LATE_IMPRESSION_MEAN_MS, len(position))).astype(np.int64)
