"""Draft a config for a log: feature groups, a network of moderate size, and a schedule for its rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.commented_yaml import write_yaml
from pipeline.config_draft.columns import Columns, Grouping, describe_missing, find_rare_ids
from pipeline.config_draft.durations import find_duration
from pipeline.config_draft.entities import Entity, known_later
from pipeline.config_draft.labels import DraftedTasks, draft_tasks
from pipeline.config_draft.network import draft_network
from pipeline.config_draft.profile import ColumnProfile, encode, profile_column
from pipeline.config_draft.sample import MOST_DAYS, LogSample
from pipeline.config_draft.sequences import DraftedSequence, find_sequences
from recap_model.config import parse_config
from recap_model.data.log.column_roles import LogColumn
from recap_model.data.log.columns import decoded, milliseconds
from recap_model.data.log.schema import check_columns, log_columns

_LEAST_DAYS = 3
_LEAST_AUC = 0.52  # of a candidate's ids by themselves
_KNOWN_LATER = 0.3  # of later rows, whose id came before, from which ids are worth a table
# Users, requests or candidates that share a value, in the median, under which the value names them.
_LEAST_SHARING = {"user": 10.0, "request": 3.0, "candidate": 1.5}


@dataclass(frozen=True)
class ColumnRoles:
    """Columns whose role the user has given.

    Attributes:
        tasks: the label's column of each task.
        ids, timestamps: columns by their names in ``features.ids`` and ``features.timestamps``.
        discrete: columns of ids.
        left_out: columns excluded from the inputs.
    """

    tasks: dict[str, str]
    ids: dict[str, str]
    timestamps: dict[str, str]
    discrete: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """All columns except those of ``discrete``."""
        return [*self.tasks.values(), *self.ids.values(), *self.timestamps.values(), *self.left_out]


def draft_config(log: LogSample, roles: ColumnRoles, model_name: str) -> str:
    """Draft a config as YAML, with the reason of each choice as a comment.

    Raises ValueError if a named column is missing or of a type that a run refuses, a label has values other than 0, 1
    and null or only one class, no column is left as an input, or there is no column to split the log by.
    """
    _check_columns(log, roles)
    tasks = draft_tasks(log.rows, roles.tasks)
    named = set(roles.columns) - set(roles.discrete)
    durations = {
        name: duration for name in log.rows.schema.names if (duration := find_duration(log.rows, name))
    }
    others = {name: duration for name, duration in sorted(durations.items()) if name not in named}
    columns, kept_ids = _group_columns(log, roles, tasks, named | set(others))
    sequences = _take_sequences(log, roles, columns)
    columns.left_out |= {
        name: f"time spent on the candidate; --task {name} makes a task of its amount, --task NAME={name} of "
        f"{duration.median:g} or more"
        for name, duration in others.items()
    }
    data, split_reason = _data(log, roles, columns)
    rows = _training_rows(log, data, columns)
    network, comments = draft_network(rows, sum(log.by_day), columns, sequences, log.fraction)
    content = {
        "features": _features(columns, sequences, roles),
        "tasks": tasks.config,
        **network,
        "data": data,
        "evaluation": {"gate": _gate(log, rows, tasks.config)},
        "registry": {"model_name": model_name, "experiment": model_name},
    }
    _check_files(log, content)
    comments |= dict(_column_comments(columns))
    comments["features",] = _feature_notes(log, columns, kept_ids)
    comments["tasks",] = [
        "A row's score is the sum over tasks of score_weight times prediction; what is not wanted, such as a",
        "report, gets a weight below 0.",
        *tasks.comments,
    ]
    comments["data",] = [split_reason]
    comments["evaluation",] = [
        "Of 50 positives, enough to decide, a rate may be off by a third by chance: narrow calibration_ratio as",
        "the log grows. docs/report.md has the gate's rules.",
    ]
    return write_yaml(content, comments)


def _group_columns(
    log: LogSample, roles: ColumnRoles, tasks: DraftedTasks, excluded: set[str]
) -> tuple[Columns, dict[str, str]]:
    """Groups of columns, ids of users and candidates among them; and why ids are not."""
    impressed = None
    if name := roles.timestamps.get("impressed"):
        times = milliseconds(decoded(log.rows[name]), "impressed").cast(pa.float64())
        impressed = times.to_numpy(zero_copy_only=False)
    inputs: dict[str, ColumnProfile] = {}
    reasons: dict[str, str] = {}
    for role in ("user", "candidate"):
        if (name := roles.ids.get(role)) and name not in roles.discrete and name not in reasons:
            profile = profile_column(decoded(log.rows[name]), tasks.labels, is_id=True)
            order = -log.day.astype(np.float64) if impressed is None else np.nan_to_num(impressed)
            reasons[name] = _id_problem(log, roles, role, profile, order)
            if not reasons[name]:
                inputs[name] = profile
    entities = [
        Entity(role, name, encode(decoded(log.rows[name]))[0], _LEAST_SHARING[role])
        for role, name in roles.ids.items()
        if role != "candidate" or name in inputs or name in roles.discrete
    ]
    names = [name for name in _all_columns(log) if name not in excluded]
    grouping = Grouping(
        log, tasks.labels, list(roles.tasks.values()), frozenset(roles.discrete), entities, impressed
    )
    columns = grouping.assign(names)
    columns.ids |= inputs
    return columns, {name: reason for name, reason in reasons.items() if reason}


def _id_problem(
    log: LogSample, roles: ColumnRoles, role: str, profile: ColumnProfile, order: NDArray[np.float64]
) -> str:
    """Why the ids of users or candidates are no input, or ""."""
    if _split_by_hash(log, roles) is not None and role == "user":
        return "the test set has other users"
    if reason := find_rare_ids(profile, log.fraction):
        return reason
    if role == "candidate" and not max(profile.aucs.values(), default=1.0) >= _LEAST_AUC:
        return "they say nothing of any label by themselves"
    known = known_later(profile.codes, order)
    return "" if known >= _KNOWN_LATER else f"{known:.0%} of the last fifth of the rows have one of before"


def _all_columns(log: LogSample) -> list[str]:
    """Columns of any file."""
    schemas = [log.rows.schema, *log.schemas.values()]
    return list(dict.fromkeys(name for schema in schemas for name in schema.names))


def _take_sequences(log: LogSample, roles: ColumnRoles, columns: Columns) -> dict[str, DraftedSequence]:
    """Sequences among the columns that are left out, which then are not."""
    names = [name for name in columns.left_out if name in log.rows.schema.names]
    sequences = find_sequences(log.rows, names, list(columns.ids), "impressed" in roles.timestamps)
    for sequence in sequences.values():
        for column in sequence.columns.values():
            del columns.left_out[column["column"]]
    return sequences


def _gate(log: LogSample, rows: int, tasks: dict[str, Any]) -> dict[str, Any]:
    """Floors that a good model of a small log reaches despite chance, so that its first version is not held."""
    test_rows = log.by_day[0] if log.days >= _LEAST_DAYS else (sum(log.by_day) - rows) // 2
    has_values = any(task.get("kind") == "value" for task in tasks.values())
    floors = {"min_rce": 0.0, **({"min_skill": 0.0} if has_values else {}), "calibration_ratio": [0.67, 1.5]}
    return {"min_rows": max(1, min(1000, test_rows // 2)), "floors": floors}


def _check_columns(log: LogSample, roles: ColumnRoles) -> None:
    names = _all_columns(log)
    for column in (*roles.columns, *roles.discrete):
        if column not in names:
            raise ValueError(f"{column}: no such column; the log has {', '.join(names)}")
    columns = [
        *(LogColumn(name, "id", "features.ids") for name in roles.ids.values()),
        *(LogColumn(name, "timestamp", "features.timestamps") for name in roles.timestamps.values()),
        *(LogColumn(name, "discrete", "features.discrete", any_id=True) for name in roles.discrete),
        *(LogColumn(label, "label", f"tasks.{task}.label") for task, label in roles.tasks.items()),
    ]
    for path, schema in (log.schemas or {"the log": log.rows.schema}).items():
        check_columns(schema, columns, path)
    for name in dict.fromkeys(column.name for column in columns):
        if name not in log.rows.schema.names:
            reason = describe_missing(log, name)
            raise ValueError(f"column {name} is {reason}; write it with one type to draft a config")


def _check_files(log: LogSample, content: dict[str, Any]) -> None:
    """Raise ValueError if a run with the config would refuse a file that was opened."""
    columns = log_columns(parse_config(content, "the draft"))
    for path, schema in log.schemas.items():
        check_columns(schema, columns, path)


def _features(
    columns: Columns, sequences: Mapping[str, DraftedSequence], roles: ColumnRoles
) -> dict[str, Any]:
    features: dict[str, Any] = {
        "continuous": list(columns.continuous),
        "binary": list(columns.binary),
        "discrete": list(columns.ids),
        **{group: {"column": name, "width": width} for group, (name, width) in columns.embeddings.items()},
        "sequences": {name: sequence.features() for name, sequence in sequences.items()},
        "ids": roles.ids,
        "timestamps": roles.timestamps,
    }
    if not any((columns.continuous, columns.binary, columns.ids, columns.embeddings, sequences)):
        raise ValueError("no column is left that could be an input of the model; look at the log's types")
    return {name: value for name, value in features.items() if value}


def _column_comments(columns: Columns) -> Iterator[tuple[tuple[str | int, ...], str]]:
    groups = {"continuous": columns.continuous, "binary": columns.binary, "discrete": columns.ids}
    for group, profiles in groups.items():
        for number, profile in enumerate(profiles.values()):
            words = [f"{profile.distinct:,} values" if group != "binary" else "", profile.best]
            if profile.missing > 0.005:
                words.insert(1, f"{profile.missing:.0%} missing")
            yield ("features", group, number), ", ".join(word for word in words if word)


def _feature_notes(log: LogSample, columns: Columns, kept_ids: Mapping[str, str]) -> list[str]:
    whole = "all" if log.fraction >= 1.0 else f"{len(log.rows):,} of about {sum(log.by_day):,}"
    days = f"{log.days} days" if log.days > 1 else "one day"
    return [
        f"From {whole} rows of {days}. Look through these: an input has to be known before the impression, or it",
        "tells the answer. Numbers are read by size, ids (discrete) by identity: --discrete COLUMN moves a number",
        "there. The AUC is a column's by itself.",
        *(f"left out: {name}: {why}" for name, why in columns.left_out.items()),
        *(f"ids that are no input: {name}: {why}" for name, why in kept_ids.items()),
    ]


def _data(log: LogSample, roles: ColumnRoles, columns: Columns) -> tuple[dict[str, Any], str]:
    """The section data, and the reason of its split."""
    days = min(log.days, MOST_DAYS)
    if columns.split is not None:
        return {"days": days, "split": {"by": "column", "column": columns.split}}, "The log names the sets."
    if log.days >= _LEAST_DAYS:
        return {"days": days}, "The last day is the test set, the day before calibrates."
    if "impressed" in roles.timestamps:
        reason = f"{log.days} days are too few to split by: the last rows are the test set."
        return {"days": days, "split": {"by": "time"}}, reason
    column = _split_by_hash(log, roles)
    if column is None:
        raise ValueError(
            f"the log has {days} days, too few to train, calibrate and test on other days; name --impressed, --user "
            "or --request to split it by"
        )
    return {
        "days": days,
        "split": {"by": "hash", "column": column},
    }, "No time says which rows are the last: rows are split by id."


def _split_by_hash(log: LogSample, roles: ColumnRoles) -> str | None:
    """The column of ids that a log of few days without times is split by."""
    if log.days >= _LEAST_DAYS or "impressed" in roles.timestamps:
        return None
    return roles.ids.get("user") or roles.ids.get("request")


def _training_rows(log: LogSample, data: Mapping[str, Any], columns: Columns) -> int:
    """Rows without those of calibration and test; 70 % if the split is not by days or a column."""
    if columns.split is not None:
        sets = decoded(log.rows[columns.split])
        train = sets.value_counts().to_pylist()
        fraction = next(item["counts"] for item in train if item["values"] == "train") / len(sets)
        return round(fraction * sum(log.by_day))
    return sum(log.by_day[2:]) if "split" not in data else int(0.7 * sum(log.by_day))
