"""The engagements: true probabilities, labels, and the time of the first engagement.

The truth of a task is the exact probability that its label is 1, given everything that is simulated before
the draw (user, post, position, time); for conditional labels it is the product over the chain. Labels of a row are
correlated, but each has its own true probability as marginal: with probability `COMMON_DRAW` a task uses the row's
common uniform number.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.simulator.actions import ACTIONS, draw_actions
from pipeline.simulator.impressions import Impressions
from pipeline.simulator.population import Day, Population, sigmoid
from pipeline.simulator.posts import Posts
from pipeline.simulator.rng import DAY_OFFSET, Array, Stream, generator

FAVORITED = "recap.engagement.is_favorited"
RETWEETED = "recap.engagement.is_retweeted"
REPLIED = "recap.engagement.is_replied"
PROFILE = "recap.engagement.is_profile_clicked_and_profile_engaged"
VIDEO = "recap.engagement.is_video_playback_50"
AUTHOR_ENGAGED = "recap.engagement.is_replied_reply_engaged_by_author"
CLICKED_ENGAGED = "recap.engagement.is_good_clicked_convo_desc_favorited_or_replied"
CLICKED_STAYED = "recap.engagement.is_good_clicked_convo_desc_v2"
NEGATIVE = "recap.engagement.is_negative_feedback_v2"
REPORTED = "recap.engagement.is_report_tweet_clicked"
TASKS = (
    FAVORITED, RETWEETED, REPLIED, PROFILE, VIDEO,
    AUTHOR_ENGAGED, CLICKED_ENGAGED, CLICKED_STAYED, NEGATIVE, REPORTED,
)  # fmt: skip

# Probability of examination: (1 + position) ** -POSITION_BIAS.
POSITION_BIAS = 0.35
COMMON_DRAW = 0.4

LATE_ENGAGEMENT_FRACTION = 0.08
ENGAGEMENT_MEAN_MS = 25_000.0
LATE_ENGAGEMENT_MEAN_MS = 4.0 * 3_600_000
ON_TIME_WINDOW_HOURS = 3.0


@dataclass(frozen=True)
class Engagements:
    """Shape: labels (rows, tasks) bool; truth (rows, tasks) float64; the others (rows,).

    ``tasks`` are `task_names` of the log.
    ``engaged_ms`` is valid only where a label is 1. ``on_time`` is the probability that a positive label remains
    after rectification with a window of `ON_TIME_WINDOW_HOURS`.
    """

    tasks: tuple[str, ...]
    labels: Array
    truth: Array
    engaged_ms: Array
    on_time: Array


def task_names(history: bool) -> tuple[str, ...]:
    """The log's tasks: the ten, and with histories `ACTIONS` behind them."""
    return (*TASKS, *ACTIONS) if history else TASKS


def make_engagements(
    population: Population, day: Day, posts: Posts, shown: Impressions, block: int
) -> Engagements:
    """Draw the labels of a block of impressions."""
    random = generator(population.parameters.seed, Stream.ENGAGEMENTS, day.number + DAY_OFFSET, block)
    steps = _step_probabilities(population, day, posts, shown)
    rows = len(shown.user)
    common = random.random(rows)

    def draw_step(name: str, shared: Array | None = None) -> Array:
        uniform = random.random(rows)
        if shared is not None:
            uniform = np.where(random.random(rows) < COMMON_DRAW, shared, uniform)
        return uniform < steps[name]

    replied, clicked = draw_step(REPLIED, common), draw_step("clicked", common)
    # Negative feedback uses the complement, so that users who like a post rarely report it.
    drawn = {
        FAVORITED: draw_step(FAVORITED, common),
        RETWEETED: draw_step(RETWEETED, common),
        REPLIED: replied,
        PROFILE: draw_step(PROFILE, common),
        VIDEO: draw_step(VIDEO, common),
        AUTHOR_ENGAGED: replied & draw_step("author engages"),
        CLICKED_ENGAGED: clicked & draw_step("engages there"),
        CLICKED_STAYED: clicked & draw_step("stays there"),
        NEGATIVE: draw_step(NEGATIVE, 1.0 - common),
        REPORTED: draw_step(REPORTED, 1.0 - common),
    }
    truth = {
        **{name: steps[name] for name in (FAVORITED, RETWEETED, REPLIED, PROFILE, VIDEO, NEGATIVE, REPORTED)},
        AUTHOR_ENGAGED: steps[REPLIED] * steps["author engages"],
        CLICKED_ENGAGED: steps["clicked"] * steps["engages there"],
        CLICKED_STAYED: steps["clicked"] * steps["stays there"],
    }
    if population.parameters.history:
        examined = examination_probability(shown.position)
        actions, chances = draw_actions(population, day, posts, shown, examined, block)
        drawn, truth = drawn | actions, truth | chances
    tasks = task_names(population.parameters.history)
    return Engagements(
        tasks=tasks,
        labels=np.stack([drawn[task] for task in tasks], axis=1),
        truth=np.stack([truth[task] for task in tasks], axis=1),
        engaged_ms=shown.impressed_ms + _engagement_delay_ms(random, rows),
        on_time=on_time_probability(shown.impressed_ms - shown.served_ms),
    )


def _step_probabilities(
    population: Population, day: Day, posts: Posts, shown: Impressions
) -> dict[str, Array]:
    """Probability of each single step, (rows,) each; the intercepts give realistic rates."""
    authors, post, relevance = population.authors, shown.post, shown.relevance
    like, retweet, reply, video, negative = population.users.style[shown.user].T
    talk = authors.conversation[shown.author]
    quality, toxicity = posts.quality[post], posts.toxicity[post]
    length = np.log(posts.text_length[post] / 80.0)
    fame = np.log1p(authors.followers[shown.author]) - 6.5
    shift = dict(zip(TASKS, day.rate_shift, strict=True))
    examined = examination_probability(shown.position)

    def seen(name: str, logit: Array) -> Array:
        return examined * sigmoid(logit + shift.get(name, 0.0))

    def then(name: str, logit: Array) -> Array:
        return sigmoid(logit + shift[name])

    long_video = np.log(np.maximum(posts.media_duration_s[post], 1.0) / 25.0)
    dislike = negative - 1.2 * shown.affinity
    return {
        FAVORITED: seen(FAVORITED, -4.3 + relevance + like - 0.15 * length**2),
        RETWEETED: seen(RETWEETED, -5.9 + 0.9 * relevance + 0.5 * quality + retweet + 0.3 * shown.follows),
        REPLIED: seen(REPLIED, -5.7 + 0.7 * relevance + 0.7 * talk + reply + 0.4 * posts.is_reply[post]),
        PROFILE: seen(PROFILE, -5.1 + 0.6 * relevance - 1.0 * shown.follows + 0.1 * fame),
        VIDEO: posts.has_video[post] * seen(VIDEO, -1.2 + 0.5 * relevance + video - 0.5 * long_video),
        "author engages": then(AUTHOR_ENGAGED, -1.0 + 0.8 * talk - 0.25 * fame + 0.5 * shown.follows),
        "clicked": seen("clicked", -4.2 + 0.7 * relevance + 0.5 * talk + 0.25 * length),
        "engages there": then(CLICKED_ENGAGED, -0.9 + 0.6 * reply + 0.4 * like + 0.4 * talk),
        "stays there": then(CLICKED_STAYED, 0.3 + 0.6 * length + 0.3 * quality),
        NEGATIVE: seen(NEGATIVE, -5.6 + dislike + 0.8 * toxicity - 0.8 * shown.follows),
        REPORTED: seen(REPORTED, -8.5 + 0.5 * dislike - 2.5 * np.expm1(-toxicity)),
    }


def examination_probability(position: Array) -> Array:
    """Probability that the user looks at the post at this position, counted from 0."""
    return (1.0 + position) ** -POSITION_BIAS


def on_time_probability(impression_delay_ms: Array) -> Array:
    """P(engaged - served is under the window), given impressed - served.

    The engagement delay is a mixture of two exponential distributions, independent of the engagement; so the true
    probability of a rectified label is the product of the true probability and this one.
    """
    left = ON_TIME_WINDOW_HOURS * 3_600_000 - impression_delay_ms
    left = np.maximum(left, 0.0)
    quick = -np.expm1(-left / ENGAGEMENT_MEAN_MS)
    late = -np.expm1(-left / LATE_ENGAGEMENT_MEAN_MS)
    return (1.0 - LATE_ENGAGEMENT_FRACTION) * quick + LATE_ENGAGEMENT_FRACTION * late


def _engagement_delay_ms(random: np.random.Generator, rows: int) -> Array:
    late = random.random(rows) < LATE_ENGAGEMENT_FRACTION
    mean = np.where(late, LATE_ENGAGEMENT_MEAN_MS, ENGAGEMENT_MEAN_MS)
    return (random.exponential(1.0, rows) * mean).astype(np.int64)
