"""Tasks of a drafted config: columns of 0 and 1, durations over a threshold, and amounts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.config_draft.columns import find_given_task, label_values
from pipeline.config_draft.durations import Duration, find_duration

_MANY_ZEROS = 0.3  # of an amount's labels, from which Tweedie's loss fits them

Labels = NDArray[np.float64]


@dataclass(frozen=True)
class DraftedTasks:
    """Tasks by name.

    Attributes:
        config: the section ``tasks``.
        labels: (rows,) of 0, 1 or NaN; of an amount, whether it is over 0.
        comments: a line for each label that is a duration.
    """

    config: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, Labels] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)


def draft_tasks(rows: pa.Table, columns: Mapping[str, str]) -> DraftedTasks:
    """Draft a task for each label column: of a duration an amount where the task has its name, else an event.

    Raises ValueError if a label has values other than 0, 1 and null, or only one class.
    """
    drafted = DraftedTasks()
    for task, column in columns.items():
        values = label_values(rows, column).to_numpy(zero_copy_only=False)
        duration = find_duration(rows, column)
        if duration is None:
            _check_label(task, column, values)
            drafted.config[task] = {"label": column} if column != task else {}
            drafted.labels[task] = values
        elif column == task:
            drafted.config[task] = _amount(values, duration)
            drafted.labels[task] = np.where(np.isnan(values), np.nan, values > 0)
            drafted.comments.append(
                f"{task}: an amount, {duration.median:g} in the median; --task NAME={column} makes an event of it, "
                "over a threshold."
            )
        else:
            drafted.config[task] = {"label": {"column": column, "at_least": duration.median}}
            drafted.labels[task] = np.where(np.isnan(values), np.nan, values >= duration.median)
            drafted.comments.append(
                f"{column}: {duration.median:g} is the median of its positive values; docs/tasks.md has other rules, "
                f"and --task {column} makes a task of its amount."
            )
    for task, section in drafted.config.items():
        if section.get("kind") != "value":
            others = {name: label for name, label in drafted.labels.items() if name != task}
            if before := find_given_task(drafted.labels[task], others):
                section["given"] = before
            section["score_weight"] = 1.0
    return drafted


def _amount(values: Labels, duration: Duration) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    loss = {"loss": "tweedie"} if (known == 0).mean() > _MANY_ZEROS else {}
    return {
        "kind": "value",
        **loss,
        "cap": duration.cap,
        "scale": duration.median,
        "score_weight": float(f"{1 / duration.median:.1g}"),
    }


def _check_label(task: str, column: str, values: Labels) -> None:
    known = set(np.unique(values[~np.isnan(values)]).tolist())
    if strange := sorted(known - {0.0, 1.0}):
        raise ValueError(
            f"task {task}: column {column} has value {strange[0]:g}; a label is 0, 1 or null, or in the config "
            f"a rule as {{column: {column}, at_least: …}}, or an amount (kind: value)"
        )
    if len(known) < 2:
        raise ValueError(
            f"task {task}: column {column} has no {'0' if 1.0 in known else '1'} in the {len(values):,} rows looked "
            "at; a task has both"
        )
