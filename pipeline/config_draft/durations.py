"""Columns of time spent on a candidate, as dwell or watch time: recognized by name, made labels by a threshold."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.config_draft.columns import label_values, look_like_times
from recap_model.data.log.column_roles import form_of
from recap_model.data.log.columns import decoded

_CAP = 0.99  # quantile of the positive values
_SPENT = frozenset(
    ("dwell", "watch", "watched", "play", "played", "view", "viewed", "stay", "listen", "read", "spent")
)
_UNITS = frozenset(
    ("s", "sec", "secs", "second", "seconds", "ms", "msec", "millis", "milliseconds", "time", "duration")
)


@dataclass(frozen=True)
class Duration:
    """Time spent.

    Attributes:
        median: of the positive values, of one digit.
        cap: what nearly all values are under, of two digits.
    """

    median: float
    cap: float


def find_duration(rows: pa.Table, name: str) -> Duration | None:
    """What is known of a column whose name and values are those of time spent; None for another column.

    >>> find_duration(pa.table({"dwell_s": [0.0, 4.0, 12.3, 30.0]}), "dwell_s")
    Duration(median=10.0, cap=30.0)
    >>> find_duration(pa.table({"video_duration_s": [9.0, 9.0, 9.0, 9.0]}), "video_duration_s")
    """
    words = set(re.split(r"[^a-z]+", name.lower())) - {""}
    if not words & _SPENT or not words & _UNITS or words - _SPENT - _UNITS:
        return None
    column = decoded(rows[name])
    if form_of(column.type) not in ("integer", "float"):
        return None
    if pa.types.is_integer(column.type) and look_like_times(column):
        return None
    values = label_values(rows, name).drop_null().to_numpy()
    positive = values[values > 0]
    if len(np.unique(positive)) < 3 or (values < 0).any():
        return None
    median, cap = np.median(positive), np.quantile(positive, _CAP)
    return Duration(float(f"{median:.1g}"), float(f"{cap:.2g}"))
