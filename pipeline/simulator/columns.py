"""The log's columns: features known before the impression, ids, times and labels."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.simulator.actions import ACTIONS
from pipeline.simulator.dwell import Dwell
from pipeline.simulator.history import HISTORY_FIELDS, EventLog
from pipeline.simulator.impressions import Impressions
from pipeline.simulator.labels import TASKS, Engagements
from pipeline.simulator.population import EMBEDDING_WIDTH, Day, Population
from pipeline.simulator.posts import Posts
from pipeline.simulator.rng import DAY_OFFSET, Array, Stream, generator, pair_uniform

# Disjoint id ranges, so that a join on the wrong column is empty.
FIRST_USER_ID, FIRST_AUTHOR_ID = 1_000_000, 5_000_000
# Languages and topics start at 1: entry 0 of an embedding table is the unknown id.
FIRST_CLASS = 1

CONTINUOUS = (
    "post_like_count", "post_reply_count", "post_retweet_count", "post_view_count", "hours_since_post",
    "text_length", "media_duration_s", "toxicity_score", "author_follower_count", "author_following_count",
    "author_account_age_days", "author_past_like_rate", "author_past_reply_rate", "author_likes_per_follower",
    "user_follower_count", "user_following_count", "user_account_age_days", "user_sessions_last_week",
    "user_past_like_rate", "user_past_retweet_rate", "user_past_reply_rate", "user_past_video_rate",
    "user_topic_like_rate", "user_author_past_likes", "user_author_past_replies", "hours_since_author_seen",
)  # fmt: skip
BINARY = (
    "has_video", "has_image", "has_link", "is_reply", "is_quote", "follows_author", "author_follows_user",
    "author_verified", "same_language",
)  # fmt: skip
DISCRETE = ("position", "language", "hour_of_day", "topic")
EMBEDDINGS = ("user_embedding", "user_eng_embedding", "author_embedding")
IDS = ("request_id", "user_id", "author_id", "post_id")
TIMES = ("served_ms", "impressed_ms", "engaged_ms")

SCHEMA = pa.schema(
    [pa.field(name, pa.int64()) for name in (*IDS, *TIMES)]
    + [pa.field(name, pa.float32()) for name in CONTINUOUS]
    + [pa.field(name, pa.int8()) for name in BINARY]
    + [pa.field(name, pa.int64()) for name in DISCRETE]
    + [pa.field(name, pa.list_(pa.float32(), EMBEDDING_WIDTH)) for name in EMBEDDINGS]
    + [pa.field(name, pa.int8()) for name in TASKS]
)
TRUTH_SCHEMA = pa.schema(
    [pa.field("request_id", pa.int64()), pa.field("post_id", pa.int64())]
    + [pa.field(f"truth.{task}", pa.float64()) for task in TASKS]
    + [pa.field("on_time_3h", pa.float64())]
)


def log_schema(history: bool) -> pa.Schema:
    """The log's columns."""
    if not history:
        return SCHEMA
    actions = [pa.field(name, pa.int8()) for name in ACTIONS]
    return pa.schema([*SCHEMA, *actions, pa.field("dwell_s", pa.float32()), *HISTORY_FIELDS])


def truth_schema(history: bool) -> pa.Schema:
    """The columns of the truth."""
    if not history:
        return TRUTH_SCHEMA
    truths = [pa.field(f"truth.{name}", pa.float64()) for name in (*ACTIONS, "dwell_s")]
    return pa.schema([*TRUTH_SCHEMA, *truths])


@dataclass(frozen=True)
class Block:
    """A block of impressions, and everything that its columns are computed from; dwell times only with history."""

    population: Population
    day: Day
    posts: Posts
    shown: Impressions
    number: int
    engaged: Engagements
    dwell: Dwell | None


def log_rows(block: Block, past: EventLog) -> pa.RecordBatch:
    """The block's rows with the columns of `log_schema`."""
    labels, shown = block.engaged.labels, block.shown
    columns = {
        **_id_and_time_columns(block),
        **_continuous_columns(block),
        **_binary_columns(block),
        **_discrete_columns(block),
        **_embedding_columns(block),
        **{task: pa.array(labels[:, i].astype(np.int8)) for i, task in enumerate(block.engaged.tasks)},
    }
    if block.dwell is not None:
        columns["dwell_s"] = _float32(block.dwell.seconds)
        columns |= past.last_events(shown.user, shown.served_ms, (FIRST_AUTHOR_ID, FIRST_CLASS))
    schema = log_schema(block.dwell is not None)
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def truth_rows(block: Block) -> pa.RecordBatch:
    """The true probabilities of the same rows in the same order, with the columns of `truth_schema`."""
    engaged = block.engaged
    columns = {
        "request_id": pa.array(block.shown.request_id),
        "post_id": pa.array(block.posts.post_id[block.shown.post]),
        "on_time_3h": pa.array(engaged.on_time),
        **{
            f"truth.{task}": pa.array(np.ascontiguousarray(engaged.truth[:, i]))
            for i, task in enumerate(engaged.tasks)
        },
    }
    if block.dwell is not None:
        columns["truth.dwell_s"] = pa.array(block.dwell.expected)
    schema = truth_schema(block.dwell is not None)
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def _id_and_time_columns(block: Block) -> dict[str, pa.Array]:
    shown, engaged = block.shown, block.engaged
    return {
        "request_id": pa.array(shown.request_id),
        "user_id": pa.array(shown.user + FIRST_USER_ID),
        "author_id": pa.array(shown.author + FIRST_AUTHOR_ID),
        "post_id": pa.array(block.posts.post_id[shown.post]),
        "served_ms": pa.array(shown.served_ms),
        "impressed_ms": pa.array(shown.impressed_ms),
        "engaged_ms": pa.array(engaged.engaged_ms, mask=~engaged.labels.any(axis=1)),
    }


def _continuous_columns(block: Block) -> dict[str, pa.Array]:
    values = {
        **_post_columns(block),
        **_author_columns(block),
        **_user_columns(block),
        **_pair_columns(block),
    }
    return {name: _float32(values[name]) for name in CONTINUOUS}


def _post_columns(block: Block) -> dict[str, Array]:
    posts, shown = block.posts, block.shown
    # Counts grow with the post's age, at rates that depend on its quality.
    views = np.floor(posts.reach[shown.post] * -np.expm1(-shown.age_hours / 10.0))
    talk = block.population.authors.conversation[shown.author]
    quality = posts.quality[shown.post]
    defect = _defect_draws(block, 0)
    return {
        "post_view_count": views,
        "post_like_count": np.floor(views * 0.03 * np.exp(quality)),
        "post_reply_count": np.floor(views * 0.006 * np.exp(talk)),
        "post_retweet_count": np.floor(views * 0.008 * np.exp(1.2 * quality)),
        "hours_since_post": shown.age_hours,
        "text_length": _mask_missing(posts.text_length[shown.post], defect < 0.02),
        "media_duration_s": _mask_missing(posts.media_duration_s[shown.post], defect > 0.97),
        "toxicity_score": -np.expm1(-posts.toxicity[shown.post]),
    }


def _author_columns(block: Block) -> dict[str, Array]:
    authors, author = block.population.authors, block.shown.author
    followers = authors.followers[author]
    likes = np.floor(followers * 0.2 * np.exp(authors.quality[author])) + (author % 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Authors without followers give 1 / 0 or 0 / 0, as in many real logs.
        per_follower = likes / followers
    return {
        "author_follower_count": followers,
        "author_following_count": authors.following[author],
        "author_account_age_days": authors.account_age_days[author] + block.day.number,
        "author_past_like_rate": authors.past_like_rate[author],
        "author_past_reply_rate": _mask_missing(
            authors.past_reply_rate[author], _defect_draws(block, 1) < 0.03
        ),
        "author_likes_per_follower": per_follower,
    }


def _user_columns(block: Block) -> dict[str, Array]:
    users, user = block.population.users, block.shown.user
    # NaN: the account is too new to have rates.
    like, retweet, reply, video = (np.ma.masked_invalid(column) for column in users.past_rates[user].T)
    return {
        "user_follower_count": users.followers[user],
        "user_following_count": users.following[user],
        "user_account_age_days": users.account_age_days[user] + block.day.number,
        "user_sessions_last_week": users.sessions[user],
        "user_past_like_rate": like,
        "user_past_retweet_rate": retweet,
        "user_past_reply_rate": reply,
        "user_past_video_rate": video,
    }


def _pair_columns(block: Block) -> dict[str, Array]:
    """A user's history with a topic and an author, constant per pair."""
    seed, shown, population = block.population.parameters.seed, block.shown, block.population
    user, author = shown.user, shown.author
    topic = block.posts.topic[shown.post]
    taste = (block.day.interest[user] * population.topics.centroid[topic]).sum(axis=1)
    liking = (population.users.interest[user] * population.authors.latent[author]).sum(axis=1)
    sessions = np.sqrt(1.0 + population.users.sessions[user])
    like_style, reply_style = population.users.style[user, 0], population.users.style[user, 2]

    def past(stream: Stream, mean: Array) -> Array:
        # The quantile function of a Lomax distribution of shape 1.5: most values are 0, a few are large.
        return np.floor(0.5 * mean * (pair_uniform(seed, stream, user, author) ** (-1 / 1.5) - 1.0))

    seen = (
        -np.log(pair_uniform(seed, Stream.LAST_SEEN, user, author)) * 250.0 * np.exp(-1.5 * liking) / sessions
    )
    return {
        "user_topic_like_rate": np.minimum(0.04 * np.exp(1.6 * taste + like_style), 1.0),
        "user_author_past_likes": past(Stream.PAST_LIKES, sessions * np.exp(2.5 * liking - 0.8 + like_style)),
        "user_author_past_replies": past(
            Stream.PAST_REPLIES, sessions * np.exp(2.0 * liking - 2.2 + reply_style)
        ),
        # The record expires after a week.
        "hours_since_author_seen": _mask_missing(seen, seen > 168.0),
    }


def _binary_columns(block: Block) -> dict[str, pa.Array]:
    posts, shown = block.posts, block.shown
    followed = pair_uniform(block.population.parameters.seed, Stream.FOLLOWED_BACK, shown.user, shown.author)
    values = {
        **{name: getattr(posts, name)[shown.post] for name in BINARY[:5]},
        "follows_author": shown.follows,
        "author_follows_user": followed < np.where(shown.follows, 0.25, 0.02),
        "author_verified": block.population.authors.verified[shown.author],
        "same_language": shown.same_language,
    }
    return {name: pa.array(value.astype(np.int8)) for name, value in values.items()}


def _discrete_columns(block: Block) -> dict[str, pa.Array]:
    posts, shown = block.posts, block.shown
    return {
        "position": pa.array(shown.position),
        "language": pa.array(posts.language[shown.post] + FIRST_CLASS, mask=_defect_draws(block, 2) < 0.01),
        "hour_of_day": pa.array(shown.hour),
        "topic": pa.array(posts.topic[shown.post] + FIRST_CLASS),
    }


def _embedding_columns(block: Block) -> dict[str, pa.Array]:
    day, user = block.day, block.shown.user
    # New accounts have no engagement history. Zeros instead of null: pyarrow writes null lists of
    # fixed size to Parquet, but does not read them back.
    known = np.isfinite(block.population.users.past_rates[user, :1])
    return {
        "user_embedding": _fixed_size_lists(day.user_embedding[user]),
        "user_eng_embedding": _fixed_size_lists(day.user_eng_embedding[user] * known),
        "author_embedding": _fixed_size_lists(block.population.authors.embedding[block.shown.author]),
    }


def _defect_draws(block: Block, which: int) -> Array:
    """A uniform number per row, which decides whether a value is missing."""
    key = (block.day.number + DAY_OFFSET, block.number, which)
    return generator(block.population.parameters.seed, Stream.FLAWS, *key).random(len(block.shown.user))


def _mask_missing(values: Array, where: Array) -> Array:
    return np.ma.masked_array(values, where)


def _float32(values: Array) -> pa.Array:
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    return pa.array(np.asarray(values).astype(np.float32), mask=mask)


def _fixed_size_lists(values: Array) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float32).ravel()), values.shape[1])
