"""Draft a config for a log: feature groups, a network of moderate size, and a schedule for its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from pipeline.config_draft.columns import (
    MOST_DAYS,
    Columns,
    LogSample,
    find_given_task,
    group_columns,
    label_values,
)
from pipeline.config_draft.durations import apply_threshold, find_durations
from pipeline.config_draft.sequences import DraftedSequence, find_sequences
from recap_model.data.log.column_roles import LogColumn
from recap_model.data.log.schema import check_columns

_LEAST_DAYS = 3
_STEPS = 1000  # about enough for the network below; small logs take several epochs
_MOST_EPOCHS, _EPOCHS_WITHOUT_HARM, _ROWS_FOR_LARGE_BATCHES = 8, 7, 1_000_000
_USUAL_BATCH = 512
_MIN_COUNT = 20
_WHERE = "the log"


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
    """Draft a config as YAML, with comments on what to review.

    A label of time spent (see `find_durations`) is positive from the median of its positive values on.

    Raises ValueError if a named column is missing, a label has values other than 0, 1 and null or only one class, or
    there is no column to split the log by.
    """
    _check_columns(log, roles)
    durations = find_durations(
        log.rows, (set(log.rows.schema.names) - set(roles.columns)) | set(roles.tasks.values())
    )
    thresholds = {label: durations[label] for label in roles.tasks.values() if label in durations}
    for label, threshold in thresholds.items():
        log = replace(log, rows=apply_threshold(log.rows, label, threshold))
    _check_labels(log, roles)
    others = {name: threshold for name, threshold in sorted(durations.items()) if name not in thresholds}
    columns = group_columns(
        log.rows, set(roles.columns) - set(roles.discrete) | set(others), set(roles.discrete), roles.tasks
    )
    sequences = find_sequences(
        log.rows, list(columns.left_out), list(columns.ids), "impressed" in roles.timestamps
    )
    for sequence in sequences.values():
        for column in sequence.columns.values():
            del columns.left_out[column["column"]]
    columns.left_out |= dict.fromkeys(sorted(log.duplicated), "more than once in a file")
    columns.left_out |= {
        name: f"time spent on the candidate; --task NAME={name} makes a task of it, {threshold:g} or more is positive"
        for name, threshold in others.items()
    }
    sections = {
        "features": _features(columns, sequences, roles),
        "tasks": {task: _task(task, label, log, roles, thresholds) for task, label in roles.tasks.items()},
        **_model_and_schedule(log, columns, sequences),
        "data": _data(log, roles),
        "evaluation": {"gate": _gate(log)},
        "registry": {"model_name": model_name, "experiment": model_name},
    }
    notes = {
        "features": _notes(columns),
        "tasks": [
            "A row's score is the sum over tasks of score_weight times probability; what is not wanted, such as a",
            "report, gets a weight below 0.",
            *(
                f"{label}: {threshold:g} is the median of its positive values; docs/tasks.md has other rules."
                for label, threshold in thresholds.items()
            ),
        ],
        "evaluation": [
            "Of 50 positives, enough to decide, a rate may be off by a third by chance: narrow calibration_ratio as",
            "the log grows. docs/report.md has the gate's rules.",
        ],
    }
    parts = []
    for name, section in sections.items():
        comments = [f"# {line}\n" for line in notes.get(name, [])]
        parts.append(
            "".join(comments)
            + yaml.safe_dump({name: section}, sort_keys=False, width=110, allow_unicode=True)
        )
    return "\n".join(parts)


def _gate(log: LogSample) -> dict[str, Any]:
    """Floors that a good model of a small log reaches despite chance, so that its first version is not held."""
    floors = {"min_rce": 0.0, "calibration_ratio": [0.67, 1.5]}
    return {"min_rows": max(1, min(1000, _test_rows(log) // 2)), "floors": floors}


def _task(
    name: str, label: str, log: LogSample, roles: ColumnRoles, thresholds: Mapping[str, float]
) -> dict[str, object]:
    before = find_given_task(log.rows, label, roles.tasks)
    rule = {"column": label, "at_least": thresholds[label]} if label in thresholds else label
    return {
        **({"label": rule} if rule != name else {}),
        **({"given": before} if before else {}),
        "score_weight": 1.0,
    }


def _check_columns(log: LogSample, roles: ColumnRoles) -> None:
    schema = log.rows.schema
    for column in (*roles.columns, *roles.discrete):
        if column in log.duplicated:
            raise ValueError(
                f"column {column} is more than once in a file; a column is there once; write it once"
            )
        if schema.get_field_index(column) < 0:
            raise ValueError(f"{column}: no such column; the log has {', '.join(schema.names)}")
    check_columns(schema, [LogColumn(name, "id", "features.ids") for name in roles.ids.values()], _WHERE)
    times = [LogColumn(name, "timestamp", "features.timestamps") for name in roles.timestamps.values()]
    ids = [LogColumn(name, "discrete", "features.discrete", any_id=True) for name in roles.discrete]
    check_columns(schema, [*times, *ids], _WHERE)
    labels = [LogColumn(label, "label", f"tasks.{task}.label") for task, label in roles.tasks.items()]
    check_columns(schema, labels, _WHERE)


def _check_labels(log: LogSample, roles: ColumnRoles) -> None:
    for task, label in roles.tasks.items():
        values = set(label_values(log.rows, label).unique().to_pylist()) - {None}
        if strange := sorted(values - {0, 1}):
            raise ValueError(
                f"task {task}: column {label} has value {strange[0]:g}; a label is 0, 1 or null, or in the config "
                f"a rule as {{column: {label}, at_least: …}}"
            )
        if len(values) < 2:
            raise ValueError(
                f"task {task}: column {label} has no {'0' if 1 in values else '1'} in the newest "
                f"{len(log.rows):,} rows; a task has both"
            )


def _features(
    columns: Columns, sequences: Mapping[str, DraftedSequence], roles: ColumnRoles
) -> dict[str, Any]:
    features: dict[str, Any] = {
        "continuous": columns.continuous,
        "binary": columns.binary,
        "discrete": list(columns.ids),
        **{group: {"column": name, "width": width} for group, (name, width) in columns.embeddings.items()},
        "sequences": {name: sequence.features() for name, sequence in sequences.items()},
        "ids": roles.ids,
        "timestamps": roles.timestamps,
    }
    if not any((columns.continuous, columns.binary, columns.ids, columns.embeddings, sequences)):
        raise ValueError("no column is left that could be an input of the model; look at the log's types")
    return {name: value for name, value in features.items() if value}


def _notes(columns: Columns) -> list[str]:
    lines = [
        "Look through these: an input has to be known before the impression, or it tells the answer. Numbers are",
        "read by size, ids (discrete) by identity: --discrete COLUMN moves a number there.",
    ]
    return lines + [f"left out: {name}: {why}" for name, why in columns.left_out.items()]


def _model_and_schedule(
    log: LogSample, columns: Columns, sequences: Mapping[str, DraftedSequence]
) -> dict[str, Any]:
    rows = _training_rows(log)
    batch = 4096 if sum(log.by_day[: _days(log)]) >= _ROWS_FOR_LARGE_BATCHES else _small_batch(rows)
    steps_an_epoch = max(1, rows // batch)
    epochs = max(1, min(_MOST_EPOCHS, _STEPS // steps_an_epoch))
    steps = steps_an_epoch * epochs
    model: dict[str, Any] = {"multi_task_type": "share_all"}
    knots = {"piecewise_linear_config": {"bins": 16, "embedding_dim": 4}}
    model["featurization_config"] = knots if columns.continuous else {"log1p_abs_config": {}}
    if columns.ids:
        model["small_embeddings"] = {"tables": _tables(columns.ids)}
    if sequences:
        named = sequences.items()
        model["tables"] = {
            table: size for name, sequence in named for table, size in sequence.tables(name).items()
        }
        model["sequences"] = {name: sequence.reader(name) for name, sequence in named}
    mlp = {"layer_sizes": [128, 64], "dropout": {"rate": 0.2}, "final_layer_activation": True}
    model["backbone"] = {"dcn_config": {"poly_degree": 1, "parallel_mlp": mlp}}
    model["tower"] = {"mlp_config": {"layer_sizes": [32, 1]}}
    # On four made-up logs of 24,000 to 27,000 training rows, none of which they were chosen on, the higher ones (and
    # 128 rows a step) gained 0.018 of AUC in the most frequent task, and from -0.017 to 0.014 in rarer ones; at
    # 80,000 rows the higher rate lost.
    highest, decay = (0.002, 0.001) if batch >= _USUAL_BATCH else (0.005, 0.1)
    rate = {
        "learning_rate": highest,
        "final_learning_rate": highest / 100,
        "num_ramp_steps": max(1, steps // 10),
        "final_num_steps": max(2, steps),
    }
    optimizer = {
        "adam": {"weight_decay": decay},
        "single_task_learning_rate": {"linear_ramp_to_cosine": rate},
    }
    return {"model": model, "optimizer": optimizer, "training": {"batch_size": batch, "epochs": epochs}}


def _small_batch(rows: int) -> int:
    """Batch size: smaller for a small log, which would otherwise need too many epochs."""
    return next((size for size in (_USUAL_BATCH, 256) if _STEPS * size <= _EPOCHS_WITHOUT_HARM * rows), 128)


def _tables(ids: dict[str, int]) -> list[dict[str, Any]]:
    """An embedding table per column of ids, for ids that occur at least ``min_count`` times."""
    return [
        {
            "name": name,
            "index": index,
            "num_embeddings": min(10_000, max(16, 2 * count)),
            "embedding_dim": min(16, max(3, round(2 * count**0.25))),
            "min_count": _MIN_COUNT,
        }
        for index, (name, count) in enumerate(ids.items())
    ]


def _data(log: LogSample, roles: ColumnRoles) -> dict[str, Any]:
    days = _days(log)
    if days >= _LEAST_DAYS:
        return {"days": days}
    if "impressed" in roles.timestamps:
        return {"days": days, "split": {"by": "time"}}
    user = roles.ids.get("user") or roles.ids.get("request")
    if user is None:
        raise ValueError(
            f"the log has {days} days, too few to train, calibrate and test on other days; name --impressed, --user "
            "or --request to split it by"
        )
    return {"days": days, "split": {"by": "hash", "column": user}}


def _days(log: LogSample) -> int:
    return min(log.days, MOST_DAYS)


def _training_rows(log: LogSample) -> int:
    """Rows without the calibration and test days; 70 % if the split is not by days."""
    days = log.by_day[: _days(log)]
    return sum(days[2:]) if log.days >= _LEAST_DAYS else int(0.7 * sum(days))


def _test_rows(log: LogSample) -> int:
    return log.by_day[0] if log.days >= _LEAST_DAYS else log.by_day[0] // 5
