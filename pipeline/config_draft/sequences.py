"""Sequences of a log: columns of lists that have the same length in every row, an entry for each earlier event."""

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config_draft.columns import is_named_as_id, look_like_times
from recap_model.config.data.sequences import MAX_ACTIONS, SequenceKind
from recap_model.data.log.column_roles import form_of
from recap_model.data.log.columns import decoded, is_list, milliseconds
from recap_model.data.log.id_hashing import feature_ids, normalized_ids
from recap_model.data.log.sequences import list_bounds

_LONGEST = 50
_CATEGORIES = 50  # distinct values from which ids are no categories
_NUMBER_SUFFIXES = ("s", "ms", "seconds", "count", "rate", "score")
_SHARED_IDS = 0.5  # of the events' ids: from here on a column has the candidates' of them


@dataclass(frozen=True)
class DraftedSequence:
    """A sequence of the log.

    Attributes:
        columns: by key, as in ``features.sequences``.
        distinct: the number of distinct values of each id and category in the sample.
        candidate: by key, the column of ids that has the candidate's.
    """

    columns: dict[str, dict[str, Any]]
    order: str
    distinct: dict[str, int]
    candidate: dict[str, str]

    def features(self) -> dict[str, Any]:
        """The entry of ``features.sequences``."""
        return {"columns": self.columns, "max_length": _LONGEST, "order": self.order}

    def tables(self, name: str) -> dict[str, Any]:
        """A table for each id and category."""
        return {
            f"{name}_{key}": {
                "num_embeddings": min(100_000, max(64, 4 * count)),
                "embedding_dim": 8,
                "hash": True,
            }
            for key, count in self.distinct.items()
        }

    def reader(self, name: str) -> dict[str, Any]:
        """The entry of ``model.sequences``: target attention where candidates are known, else the mean."""
        inputs = {key: {"table": f"{name}_{key}"} if key in self.distinct else {} for key in self.columns}
        if not self.candidate:
            return {"inputs": inputs, "reader": {"mean_config": {}}}
        return {"inputs": inputs, "candidate": self.candidate, "reader": {"din_config": {}}}


def find_sequences(
    rows: pa.Table, names: list[str], ids: list[str], timed: bool
) -> dict[str, DraftedSequence]:
    """Sequences among the columns ``names``, by a name.

    Args:
        ids: discrete columns, which may have the candidates' ids.
        timed: whether the log has a time of impression, without which times of events are not read.
    """
    aligned: dict[bytes, list[str]] = {}
    for name in names:
        column = decoded(rows[name])
        if is_list(column.type):
            lengths = list_bounds(column).lengths
            if len(np.unique(lengths)) > 1:
                aligned.setdefault(lengths.tobytes(), []).append(name)
    sequences: dict[str, DraftedSequence] = {}
    for columns in aligned.values():
        if len(columns) > 1:
            prefix = _common_prefix(columns)
            name = _identifier(prefix) or f"history{len(sequences) or ''}"
            sequences[name] = _draft(rows, columns, prefix, ids, timed)
    return sequences


def _draft(rows: pa.Table, names: list[str], prefix: str, ids: list[str], timed: bool) -> DraftedSequence:
    columns: dict[str, dict[str, Any]] = {}
    distinct: dict[str, int] = {}
    candidate: dict[str, str] = {}
    order = "newest_first"
    for name in names:
        key = _identifier(name.removeprefix(f"{prefix}_")) or _identifier(name)
        lists = decoded(rows[name])
        events = decoded(pc.list_flatten(lists))
        kind = _kind(name, events)
        if kind is None or key == "length" or (kind == "time" and not timed):
            continue
        columns[key] = {"column": name, "kind": kind}
        if kind == "actions":
            columns[key]["values"] = _actions(events)
        elif kind == "time":
            order = _order(lists, events)
        elif kind in ("id", "category"):
            distinct[key] = pc.count_distinct(normalized_ids(events)).as_py()
            if shared := _candidate(rows, events, ids):
                candidate[key] = shared
    return DraftedSequence(columns, order, distinct, candidate)


def _kind(name: str, events: pa.Array) -> SequenceKind | None:
    """The kind of a column by the values of its lists; None for what is not read."""
    form = form_of(events.type)
    if is_list(events.type):
        inner = form_of(events.type.value_type)
        return (
            "actions" if inner in ("integer", "text") and 0 < len(_actions(events)) <= MAX_ACTIONS else None
        )
    if form == "timestamp" or (form == "integer" and not is_named_as_id(name) and look_like_times(events)):
        return "time"
    if form in ("float", "boolean") or (form == "integer" and name.split("_")[-1] in _NUMBER_SUFFIXES):
        return "number"
    if form in ("integer", "text", "binary"):
        return "category" if pc.count_distinct(normalized_ids(events)).as_py() <= _CATEGORIES else "id"
    return None


def _actions(events: pa.Array) -> list[Any]:
    actions: list[Any] = pc.unique(normalized_ids(pc.list_flatten(events)).drop_null()).to_pylist()
    return sorted(actions)


def _order(lists: pa.Array, events: pa.Array) -> str:
    """The order of most pairs of neighbouring events."""
    times = milliseconds(events, "a time").cast(pa.float64()).to_numpy(zero_copy_only=False)
    same_row = np.diff(pc.list_parent_indices(lists).to_numpy()) == 0
    steps = np.diff(times)[same_row]
    return "oldest_first" if (steps > 0).sum() > (steps < 0).sum() else "newest_first"


def _candidate(rows: pa.Table, events: pa.Array, ids: list[str]) -> str | None:
    """The discrete column that has most of the events' ids."""
    known = pc.unique(feature_ids(events).drop_null())
    for name in ids:
        values = decoded(rows[name])
        if form_of(values.type) in ("integer", "text", "binary"):
            shared = pc.is_in(known, pc.unique(feature_ids(values)))
            if len(known) and pc.sum(shared).as_py() >= _SHARED_IDS * len(known):
                return name
    return None


def _common_prefix(names: list[str]) -> str:
    """What all names begin with, in words between underscores."""
    words = [name.split("_")[:-1] for name in names]
    common = takewhile(lambda at_place: len(set(at_place)) == 1, zip(*words, strict=False))
    return "_".join(at_place[0] for at_place in common)


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII) if re.match(r"[A-Za-z_]", name) else ""
