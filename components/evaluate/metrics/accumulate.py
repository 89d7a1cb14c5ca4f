"""The first pass over the score table: sketches and counts by part, task and model, and samples of whole groups."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.evaluate.metrics.group_sample import GroupSample
from components.evaluate.scoring.score_table import ScoreTable
from recap_model.config import RecapConfig
from recap_model.data.log.id_hashing import id_numbers, is_present
from recap_model.metrics import ProbabilitySketch, cells_of

EVERYTHING = ""  # the part that is all rows; the others are slices, by their names

Column = NDArray[Any]


@dataclass
class TaskTally:
    """Labelled rows of one task in one part; ``mass`` is the sum of their weights."""

    rows: int = 0
    positives: int = 0
    mass: float = 0.0
    positive_mass: float = 0.0

    def add(self, label: Column, weight: Column | None) -> None:
        positive = label > 0.5
        self.rows += len(label)
        self.positives += int(positive.sum())
        self.mass += len(label) if weight is None else float(weight.sum(dtype=np.float64))
        self.positive_mass += float(positive.sum() if weight is None else weight @ positive)


@dataclass
class ModelTally:
    """What one model says of one task in one part; ``missing`` predictions are NaN, and ``not_finite``, too."""

    sketch: ProbabilitySketch = field(default_factory=ProbabilitySketch)
    rows: int = 0
    missing: int = 0
    not_finite: int = 0


@dataclass
class TaskRows:
    """The rows of one task in one part of a batch: those that have a label.

    Attributes:
        place: which rows of the batch they are; None for all of them.
        weight: None where all are 1.
        prediction: by model.
    """

    place: NDArray[np.int64] | None
    label: Column
    weight: Column | None
    prediction: dict[str, Column]


class Tally:
    """What is known of the table after the pass.

    Attributes:
        tasks, models: by (part, task) and (part, task, model).
        users: how many there are; None where the table has none.
        not_finite: rows of which the candidate's score, or a probability, is no finite number.
        lists: rows of sampled requests (or users), ``by`` tells which: gains and each model's score.
        by_user: rows of sampled users: labels, weights, predictions, slices. A row without the id is in neither.
        scores: sampled rows' scores of each model.
    """

    def __init__(self, table: ScoreTable, config: RecapConfig) -> None:
        parts = [EVERYTHING, *table.slices]
        self.tasks = {(part, task): TaskTally() for part in parts for task in table.tasks}
        self.models = {(*key, model): ModelTally() for key in self.tasks for model in table.models}
        self.not_finite = 0
        self.part_rows = dict.fromkeys(parts, 0)
        self.by = next((name for name in ("request", "user") if name in table.names), None)
        self.lists, self.by_user, self.scores = GroupSample(), GroupSample(), GroupSample()
        self._table = table
        self._score_weights = np.array([config.tasks[task].score_weight for task in table.tasks])
        self._users: list[NDArray[np.int64]] = []
        self._fill()

    @property
    def users(self) -> int | None:
        if "user" not in self._table.names:
            return None
        return len(np.unique(np.concatenate(self._users))) if self._users else 0

    def _fill(self) -> None:
        table, done = self._table, 0
        ids = [name for name in ("user", "request") if name in table.names]
        for batch in table.batches([*ids, *columns_of(table), *(f"score/{model}" for model in table.models)]):
            for (part, task), rows in task_rows(batch, table):
                self._count(part, task, rows)
            for part in self.part_rows:
                self.part_rows[part] += (
                    batch.num_rows if part == EVERYTHING else int(_numpy(batch, f"slice/{part}").sum())
                )
            self._sample(batch, done)
            done += batch.num_rows

    def _count(self, part: str, task: str, rows: TaskRows) -> None:
        self.tasks[part, task].add(rows.label, rows.weight)
        for model, prediction in rows.prediction.items():
            tally = self.models[part, task, model]
            tally.rows += len(prediction)
            finite = np.isfinite(prediction)
            if finite.all():
                tally.sketch.add(cells_of(rows.label, prediction), prediction, rows.weight)
            else:
                tally.not_finite += int((~finite).sum())
                tally.missing += int(np.isnan(prediction).sum())

    def _sample(self, batch: pa.RecordBatch, done: int) -> None:
        table = self._table
        by_model = {model: _numpy(batch, f"score/{model}") for model in table.models}
        finite = np.isfinite(by_model["candidate"])
        columns: dict[str, Column] = {
            f"slice/{name}": _numpy(batch, f"slice/{name}") for name in table.slices
        }
        gains = np.zeros(batch.num_rows)
        for task, score_weight in zip(table.tasks, self._score_weights, strict=True):
            for kind in ("label", "weight", *table.models):
                columns[f"{kind}/{task}"] = _numpy(batch, f"{kind}/{task}")
            gains += score_weight * np.nan_to_num(columns[f"label/{task}"])
            finite &= np.isfinite(columns[f"candidate/{task}"])
        self.not_finite += int((~finite).sum())
        self.scores.add(np.arange(done, done + batch.num_rows), by_model)
        if self.by is not None:
            self.lists.add(*_of_groups(batch.column(self.by), {"gain": gains, **by_model}))
        if "user" in table.names:
            users, columns = _of_groups(batch.column("user"), columns)
            self._users = [np.unique(np.concatenate([*self._users, users]))]
            self.by_user.add(users, columns)


def _of_groups(ids: pa.Array, columns: dict[str, Column]) -> tuple[NDArray[np.int64], dict[str, Column]]:
    """The numbers of the rows' groups, and columns of those rows; without rows that lack the id."""
    named = is_present(ids)
    return id_numbers(ids)[named], {name: values[named] for name, values in columns.items()}


def columns_of(table: ScoreTable) -> list[str]:
    """The columns that `task_rows` reads."""
    by_task = [f"{kind}/{task}" for task in table.tasks for kind in ("label", "weight", *table.models)]
    return [*(f"slice/{name}" for name in table.slices), *by_task]


def task_rows(batch: pa.RecordBatch, table: ScoreTable) -> Iterator[tuple[tuple[str, str], TaskRows]]:
    """The rows of each part and task, by (part, task)."""
    slices = {name: _numpy(batch, f"slice/{name}").astype(bool) for name in table.slices}
    for task in table.tasks:
        label, weight = _numpy(batch, f"label/{task}"), _numpy(batch, f"weight/{task}")
        predictions = {model: _numpy(batch, f"{model}/{task}") for model in table.models}
        known = ~np.isnan(label) & (weight > 0)
        unweighted = bool((weight == 1.0).all())
        for part in (EVERYTHING, *slices):
            chosen = known if part == EVERYTHING else known & slices[part]
            place = None if chosen.all() else np.flatnonzero(chosen)
            columns = [label, weight, *predictions.values()]
            if place is not None:
                columns = [column[place] for column in columns]
            yield (
                (part, task),
                TaskRows(
                    place,
                    columns[0],
                    None if unweighted else columns[1],
                    dict(zip(predictions, columns[2:], strict=True)),
                ),
            )


def _numpy(batch: pa.RecordBatch, name: str) -> Column:
    column: Column = batch.column(name).to_numpy(zero_copy_only=False)
    return column
