"""Users, authors and topics with latent interests, and their state on a given day.

Interests, authors and topics are vectors in one space of `INTERESTS` dimensions; their dot product is the affinity.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.simulator.parameters import SampleParameters
from pipeline.simulator.rng import Array, Stream, generator

INTERESTS = 8
TOPICS = 12
LANGUAGES = 8
EMBEDDING_WIDTH = 16
STYLES = ("like", "retweet", "reply", "video", "negative")
LANGUAGE_FREQUENCIES = np.array([0.44, 0.18, 0.11, 0.09, 0.07, 0.05, 0.04, 0.02])
EMBEDDING_NOISE = 0.10

# Bounds of the tables' sizes: variety in small logs, bounded memory in large ones.
MIN_USERS, MAX_USERS = 200, 200_000
# With histories a user sees five times as many posts a day, so that the last events tell the taste of the hour.
ROWS_PER_USER, ROWS_PER_USER_WITH_HISTORY = 20, 100


@dataclass(frozen=True)
class Topics:
    """Topics: position in the interest space, popularity, and interactions.

    Shape: centroid (topics, interests); by_language (topics, languages) log odds; the others (topics,).
    """

    centroid: Array
    popularity: Array
    by_language: Array
    decay: Array
    peak_hour: Array


@dataclass(frozen=True)
class Users:
    """Shape: interest, turn (users, interests), unit vectors at right angles; style (users, styles);
    past_rates (users, 4) of likes, retweets, replies and video plays, NaN for new accounts; the others (users,).
    """

    interest: Array
    turn: Array
    style: Array
    activity: Array
    language: Array
    followers: Array
    following: Array
    account_age_days: Array
    sessions: Array
    past_rates: Array


@dataclass(frozen=True)
class Authors:
    """Shape: latent (authors, interests) unit vectors; embedding (authors, width); the others (authors,)."""

    latent: Array
    embedding: Array
    topic: Array
    language: Array
    quality: Array
    conversation: Array
    toxicity: Array
    followers: Array
    following: Array
    account_age_days: Array
    verified: Array
    past_like_rate: Array
    past_reply_rate: Array


@dataclass(frozen=True)
class Population:
    """The parameters, topics, users and authors, which are constant over time."""

    parameters: SampleParameters
    topics: Topics
    users: Users
    authors: Authors


@dataclass(frozen=True)
class Day:
    """The drifting quantities on one day.

    Shape: interest (users, interests); user_embedding, user_eng_embedding (users, width); topic_appeal
        (topics,) log odds; rate_shift (tasks,) log odds.
    """

    number: int
    interest: Array
    user_embedding: Array
    user_eng_embedding: Array
    topic_appeal: Array
    rate_shift: Array


def make_population(parameters: SampleParameters) -> Population:
    """Create the users, authors and topics of a log."""
    rows_per_user = ROWS_PER_USER_WITH_HISTORY if parameters.history else ROWS_PER_USER
    users = int(np.clip(parameters.rows_per_day // rows_per_user, MIN_USERS, MAX_USERS))
    topics = _topics(parameters.seed)
    return Population(
        parameters, topics, _users(parameters.seed, users), _authors(parameters.seed, users // 2, topics)
    )


def day_state(population: Population, number: int, tasks: int) -> Day:
    """The world on day ``number``, after ``number`` steps of drift."""
    seed, drift, users = population.parameters.seed, population.parameters.drift, population.users
    random = generator(seed, Stream.EMBEDDINGS, 1)
    noise = random.normal(0.0, EMBEDDING_NOISE, (2, len(users.interest), EMBEDDING_WIDTH))
    # Embeddings are computed the night before, from yesterday's interests.
    known = _rotate_interests(users, drift * (number - 1))
    tastes = np.concatenate([known, users.style * 0.5], axis=1)
    return Day(
        number=number,
        interest=_rotate_interests(users, drift * number),
        user_embedding=_project(known, _projection_matrix(seed)) + noise[0],
        user_eng_embedding=_project(
            tastes, generator(seed, Stream.EMBEDDINGS, 2).normal(0.0, 0.3, (tastes.shape[1], EMBEDDING_WIDTH))
        )
        + noise[1],
        topic_appeal=_random_walk(seed, 0, number, TOPICS, 3.0 * drift),
        rate_shift=_random_walk(seed, 1, number, tasks, drift),
    )


def unit(vectors: Array) -> Array:
    """Normalize vectors (…, dimensions) to length 1."""
    return vectors / np.sqrt((vectors**2).sum(axis=-1, keepdims=True))


def sigmoid(logit: Array) -> Array:
    """1 / (1 + exp(-logit))."""
    return 1.0 / (1.0 + np.exp(-logit))


def _rotate_interests(users: Users, angle: float) -> Array:
    return np.cos(angle) * users.interest + np.sin(angle) * users.turn


def _random_walk(seed: int, which: int, steps: int, width: int, step: float) -> Array:
    # The generator fills rows first, so a longer walk starts with the steps of a shorter one.
    return generator(seed, Stream.DRIFT, which).normal(0.0, 1.0, (steps, width)).sum(axis=0) * step


def _project(vectors: Array, matrix: Array) -> Array:
    # einsum instead of BLAS, whose sums may depend on the number of threads.
    return np.einsum("ni,iw->nw", vectors, matrix)


def _projection_matrix(seed: int) -> Array:
    # Orthonormal rows preserve dot products.
    square = generator(seed, Stream.EMBEDDINGS, 0).normal(size=(EMBEDDING_WIDTH, EMBEDDING_WIDTH))
    return np.linalg.qr(square)[0][:INTERESTS]


def _topics(seed: int) -> Topics:
    random = generator(seed, Stream.TOPICS)
    return Topics(
        centroid=unit(random.normal(size=(TOPICS, INTERESTS))),
        popularity=random.normal(0.0, 0.7, TOPICS),
        by_language=random.normal(0.0, 1.0, (TOPICS, LANGUAGES)),
        decay=random.uniform(0.0, 0.9, TOPICS),
        peak_hour=random.uniform(0.0, 24.0, TOPICS),
    )


def _users(seed: int, count: int) -> Users:
    random = generator(seed, Stream.USERS)
    interest = unit(random.normal(size=(count, INTERESTS)))
    turn = random.normal(size=(count, INTERESTS))
    turn = unit(turn - (turn * interest).sum(axis=1, keepdims=True) * interest)
    style = random.normal(0.0, 0.6, (count, len(STYLES)))
    activity = random.lognormal(0.0, 1.0, count)
    base = np.array([0.04, 0.008, 0.006, 0.12])
    rates = base * np.exp(style[:, :4] + random.normal(0.0, 0.35, (count, 4)))
    age = random.gamma(1.5, 700.0, count)
    rates = np.minimum(rates, 1.0)
    rates[age < 120.0] = np.nan
    return Users(
        interest=interest,
        turn=turn,
        style=style,
        activity=np.cumsum(activity) / activity.sum(),
        language=random.choice(LANGUAGES, count, p=LANGUAGE_FREQUENCIES),
        followers=np.floor(random.lognormal(4.5, 1.8, count)),
        following=np.floor(random.lognormal(5.0, 1.2, count)),
        account_age_days=age,
        sessions=random.poisson(1.0 + 6.0 * activity).astype(np.float64),
        past_rates=rates,
    )


def _authors(seed: int, count: int, topics: Topics) -> Authors:
    random = generator(seed, Stream.AUTHORS)
    probabilities = np.exp(topics.popularity) / np.exp(topics.popularity).sum()
    topic = random.choice(TOPICS, count, p=probabilities)
    latent = unit(0.9 * topics.centroid[topic] + random.normal(0.0, 0.22, (count, INTERESTS)))
    quality = random.normal(0.0, 0.5, count)
    conversation = random.normal(0.0, 0.7, count)
    followers = np.floor(random.lognormal(6.5 + quality, 2.0))
    # Some authors have no followers, so that ratios by followers are not finite.
    followers[40::41] = 0.0
    noise = random.normal(0.0, 0.25, (2, count))
    embedding = _project(latent, _projection_matrix(seed)) + random.normal(
        0.0, EMBEDDING_NOISE, (count, EMBEDDING_WIDTH)
    )
    return Authors(
        latent=latent,
        embedding=embedding,
        topic=topic,
        language=random.choice(LANGUAGES, count, p=LANGUAGE_FREQUENCIES),
        quality=quality,
        conversation=conversation,
        toxicity=random.gamma(0.5, 0.6, count),
        followers=followers,
        following=np.floor(random.lognormal(5.5, 1.3, count)),
        account_age_days=random.gamma(2.0, 800.0, count),
        verified=random.random(count) < sigmoid(0.5 * np.log1p(followers) - 5.5),
        past_like_rate=0.03 * np.exp(0.8 * quality + noise[0]),
        past_reply_rate=0.005 * np.exp(0.8 * conversation + noise[1]),
    )
