"""What a user did before a request: the last events, as aligned list columns."""

import numpy as np
import pyarrow as pa

from pipeline.simulator.dwell import Dwell
from pipeline.simulator.impressions import Impressions
from pipeline.simulator.labels import Engagements, task_names
from pipeline.simulator.posts import Posts
from pipeline.simulator.rng import Array

HISTORY_LENGTH = 20
# A key is a user's index, then a time in milliseconds, which takes 41 bits until 2039.
_TIME_BITS = 42
_NEVER = np.iinfo(np.int64).max

HISTORY_FIELDS = (
    pa.field("hist_post_ids", pa.list_(pa.int64())),
    pa.field("hist_author_ids", pa.list_(pa.int64())),
    pa.field("hist_topics", pa.list_(pa.int64())),
    pa.field("hist_actions", pa.list_(pa.list_(pa.string()))),
    pa.field("hist_dwell_s", pa.list_(pa.float32())),
    pa.field("hist_time_ms", pa.list_(pa.int64())),
)


class EventLog:
    """Each user's impressions so far, of which `last_events` reads the newest; memory grows with the users alone."""

    def __init__(self) -> None:
        self._key = np.zeros(0, np.int64)
        self._events: dict[str, Array] = {}

    def __len__(self) -> int:
        return len(self._key)

    def add(self, posts: Posts, shown: Impressions, engaged: Engagements, dwell: Dwell) -> None:
        """Add a block of impressions; events that no request of this block or of a later one has are dropped."""
        events = {
            "post": posts.post_id[shown.post],
            "author": shown.author,
            "topic": posts.topic[shown.post],
            "labels": engaged.labels,
            "engaged_ms": np.where(engaged.labels.any(axis=1), engaged.engaged_ms, _NEVER),
            "dwell_s": dwell.seconds,
            "impressed_ms": shown.impressed_ms,
        }
        key = np.concatenate([self._key, _keys(shown.user, shown.impressed_ms)])
        order = np.argsort(key, kind="stable")
        if self._events:
            events = {name: np.concatenate([self._events[name], values]) for name, values in events.items()}
        order = order[_last_of_each_user(key[order], served_ms=int(shown.served_ms[0]))]
        self._key, self._events = key[order], {name: values[order] for name, values in events.items()}

    def last_events(self, user: Array, served_ms: Array, first_ids: tuple[int, int]) -> dict[str, pa.Array]:
        """The columns `HISTORY_FIELDS` of each row: the newest events before the request was served, newest first.

        An engagement counts from its own time on, a dwell time when it is over; until then it is null.

        Args:
            first_ids: id of the first author, and of the first topic.
        """
        end = np.searchsorted(self._key, _keys(user, served_ms))
        length = np.minimum(end - np.searchsorted(self._key, _keys(user, 0)), HISTORY_LENGTH)
        offsets = np.concatenate([[0], np.cumsum(length)])
        index = np.repeat(end - 1 + offsets[:-1], length) - np.arange(offsets[-1])
        event = {name: values[index] for name, values in self._events.items()}
        now = np.repeat(served_ms, length)
        dwelling = event["impressed_ms"] + 1_000.0 * event["dwell_s"] >= now
        values = {
            "hist_post_ids": pa.array(event["post"]),
            "hist_author_ids": pa.array(event["author"] + first_ids[0]),
            "hist_topics": pa.array(event["topic"] + first_ids[1]),
            "hist_actions": _names(event["labels"] & (event["engaged_ms"] < now)[:, None]),
            "hist_dwell_s": pa.array(event["dwell_s"].astype(np.float32), mask=dwelling),
            "hist_time_ms": pa.array(event["impressed_ms"]),
        }
        return {name: pa.ListArray.from_arrays(offsets.astype(np.int32), values[name]) for name in values}


def _keys(user: Array, time_ms: Array | int) -> Array:
    return (user.astype(np.int64) << _TIME_BITS) + time_ms


def _last_of_each_user(key: Array, served_ms: int) -> Array:
    """Which of the sorted events can be among the last of a request served at this time or later, bool."""
    user = key >> _TIME_BITS
    end = np.searchsorted(key, _keys(user, served_ms))
    return np.arange(len(key)) >= end - HISTORY_LENGTH


def _names(actions: Array) -> pa.Array:
    """The names of the tasks that are true: a list for each event."""
    offsets = np.concatenate([[0], np.cumsum(actions.sum(axis=1))]).astype(np.int32)
    tasks = pa.array(task_names(history=True))
    names = pa.DictionaryArray.from_arrays(pa.array(np.nonzero(actions)[1].astype(np.int8)), tasks)
    return pa.ListArray.from_arrays(offsets, names.cast(pa.string()))
