"""Columns of time spent on a candidate, as dwell or watch time: recognized by name, made labels by a threshold."""

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config_draft.columns import label_values
from recap_model.data.log.column_roles import form_of
from recap_model.data.log.columns import decoded

_SPENT = frozenset(
    ("dwell", "watch", "watched", "play", "played", "view", "viewed", "stay", "listen", "read", "spent")
)
_UNITS = frozenset(
    ("s", "sec", "secs", "second", "seconds", "ms", "msec", "millis", "milliseconds", "time", "duration")
)


def find_durations(rows: pa.Table, names: Iterable[str]) -> dict[str, float]:
    """Columns whose name and values are those of time spent, each with the median of its positive values.

    >>> find_durations(pa.table({"dwell_s": [0.0, 4.0, 12.3, 30.0], "video_duration_s": [9.0, 9.0, 9.0, 9.0]}),
    ...                ["dwell_s", "video_duration_s"])
    {'dwell_s': 10.0}
    """
    return {name: median for name in names if (median := _threshold(rows, name)) is not None}


def apply_threshold(rows: pa.Table, name: str, threshold: float) -> pa.Table:
    """Rows with a column of 0 and 1 in the place of a duration."""
    label = pc.greater_equal(label_values(rows, name), threshold).cast(pa.int8())
    return rows.set_column(rows.schema.get_field_index(name), name, label)


def _threshold(rows: pa.Table, name: str) -> float | None:
    """The median of a duration's positive values, of one digit; None for a column of another kind."""
    words = set(re.split(r"[^a-z]+", name.lower())) - {""}
    if not words & _SPENT or not words & _UNITS or words - _SPENT - _UNITS:
        return None
    if form_of(decoded(rows[name]).type) not in ("integer", "float"):
        return None
    values = label_values(rows, name).drop_null().to_numpy()
    positive = values[values > 0]
    if len(np.unique(positive)) < 3 or (values < 0).any():
        return None
    return float(f"{np.median(positive):.1g}")
