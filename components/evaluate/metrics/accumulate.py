"""What each task's metrics are computed from: rows by prediction, and sums by user for the bootstrap.

A table of up to ``EXACT_ROWS`` rows is read a task at a time, and the metrics are exact. A larger one is read twice
in batches, into histograms of logits first, so that memory does not grow with it.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.score_table import ScoreTable, to_numpy
from components.evaluate.metrics.bootstrap import CLUSTERS, Array, by_cluster, changes, clusters_of, masses
from components.evaluate.metrics.curves import Curves, curves_of
from components.evaluate.metrics.values import values_of
from recap_model.metrics import (
    LogitHistogram,
    PredictionGroups,
    auc_gradient,
    bin_numbers,
    group_rows,
    logits_of,
)

EVERYTHING = ""  # the part that is all rows; the others are slices, by their names
EXACT_ROWS = 1 << 20
BINS = 1 << 14  # 512 for a unit of logit

Column = NDArray[Any]


@dataclass
class ModelSums:
    """What one model predicts of one task in one part of the rows.

    Attributes:
        values: metrics by their names, NaN where they are not defined; None where a prediction is not finite.
        missing: whether no prediction is a number.
        curves: of all rows, if there are both labels.
        changes: by cluster, as `changes` of the bootstrap gives them.
    """

    values: dict[str, float] | None
    missing: bool
    curves: Curves | None = None
    changes: Array = field(default_factory=lambda: np.zeros((3, CLUSTERS)))


@dataclass
class TaskSums:
    """Labelled rows of one task in one part of the rows.

    Attributes:
        rows, positives: without weights.
        masses: by cluster, as `masses` of the bootstrap gives them.
        support: by cluster, as `_support` gives it; None without a champion that predicts the task, or in a slice.
        models: by model.
    """

    part: str
    task: str
    rows: int = 0
    positives: int = 0
    masses: Array = field(default_factory=lambda: np.zeros((2, CLUSTERS)))
    support: Array | None = None
    models: dict[str, ModelSums] = field(default_factory=dict)

    def add(self, rows: "TaskRows", cluster: NDArray[np.int32]) -> None:
        self.rows += len(rows.label)
        self.positives += int((rows.label > 0.5).sum())
        self.masses += masses(rows.label, rows.weight, cluster)
        if self.part == EVERYTHING and "champion" in rows.prediction:
            support = _support(rows, cluster)
            self.support = support if self.support is None else self.support + support


@dataclass(frozen=True)
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


def accumulate(table: ScoreTable, exact_rows: int = EXACT_ROWS) -> Iterator[TaskSums]:
    """The sums of each task in each part; one alone is held in memory where they are exact."""
    return _exact(table) if table.rows <= exact_rows else _binned(table)


def _exact(table: ScoreTable) -> Iterator[TaskSums]:
    user = [name for name in ("user",) if name in table.names]
    clusters = np.concatenate([np.empty(0, np.int32), *_clusters(table, user)])
    with ThreadPoolExecutor(len(table.models)) as pool:
        for task in table.tasks:
            for part, rows in task_rows(table.read(columns_of(table, [task])), table, task):
                cluster = clusters if rows.place is None else clusters[rows.place]
                sums = TaskSums(part, task)
                sums.add(rows, cluster)
                found = pool.map(partial(_exact_model, part, rows, cluster), rows.prediction.values())
                sums.models = dict(zip(rows.prediction, found, strict=True))
                yield sums


def _clusters(table: ScoreTable, user: list[str]) -> Iterator[NDArray[np.int32]]:
    if not user:
        yield clusters_of(pa.RecordBatch.from_pydict({"row": np.zeros(table.rows, np.int8)}), 0)
        return
    done = 0
    for batch in table.batches(user):
        yield clusters_of(batch, done)
        done += batch.num_rows


def _exact_model(part: str, rows: TaskRows, cluster: NDArray[np.int32], prediction: Column) -> ModelSums:
    if not np.isfinite(prediction).all():
        return ModelSums(None, bool(np.isnan(prediction).all()))
    groups, order, sizes = group_rows(rows.label, prediction, rows.weight)
    sums = _model(part, groups)
    _, gradient = auc_gradient(groups)
    if sizes is not None:
        gradient = np.repeat(gradient, sizes, axis=1)
    influence = np.empty(len(order))
    influence[order] = np.where(rows.label[order] > 0.5, gradient[1], gradient[0])
    sums.changes += changes(rows.label, rows.weight, prediction, influence, cluster)
    return sums


def _model(part: str, groups: PredictionGroups) -> ModelSums:
    drawn = part == EVERYTHING and groups.ordered
    return ModelSums(values_of(groups), False, curves_of(groups) if drawn else None)


def _binned(table: ScoreTable) -> Iterator[TaskSums]:
    found = {
        (part, task): TaskSums(part, task) for task in table.tasks for part in (EVERYTHING, *table.slices)
    }
    histograms = {(*key, model): LogitHistogram([key[1]], 1, BINS) for key in found for model in table.models}
    finite, missing = dict.fromkeys(histograms, True), dict.fromkeys(histograms, True)
    for batch in table.batches(columns_of(table, table.tasks)):
        for task in table.tasks:
            for part, rows in task_rows(batch, table, task):
                for model, prediction in rows.prediction.items():
                    key = (part, task, model)
                    finite[key] &= bool(np.isfinite(prediction).all())
                    missing[key] &= bool(np.isnan(prediction).all())
                    if finite[key]:
                        weight = np.ones(len(prediction)) if rows.weight is None else rows.weight
                        logits, label = logits_of(prediction)[:, None], rows.label[:, None]
                        histograms[key].add(logits, label, weight[:, None], np.zeros(len(label), np.int64))
    gradients: dict[tuple[str, str, str], Array] = {}
    for key, histogram in histograms.items():
        part, task, model = key
        bins = histogram.bins(task)
        groups = bins.groups()
        gradients[key] = np.zeros((2, BINS))
        _, gradients[key][:, bins.numbers] = auc_gradient(groups)
        found[part, task].models[model] = (
            _model(part, groups) if finite[key] else ModelSums(None, missing[key])
        )
    histograms.clear()
    done = 0
    user = [name for name in ("user",) if name in table.names]
    for batch in table.batches([*user, *columns_of(table, table.tasks)]):
        clusters = clusters_of(batch, done)
        for task in table.tasks:
            for part, rows in task_rows(batch, table, task):
                cluster = clusters if rows.place is None else clusters[rows.place]
                found[part, task].add(rows, cluster)
                for model, prediction in rows.prediction.items():
                    sums = found[part, task].models[model]
                    if sums.values is not None:
                        number = bin_numbers(logits_of(prediction), BINS)
                        influence = gradients[part, task, model][(rows.label > 0.5).astype(np.int64), number]
                        sums.changes += changes(rows.label, rows.weight, prediction, influence, cluster)
        done += batch.num_rows
    yield from found.values()


def _support(rows: TaskRows, cluster: NDArray[np.int32]) -> Array:
    """Sums by cluster of the products that `ScoreSupport` is the quotient of: (2, clusters)."""
    label, champion = rows.label, rows.prediction["champion"].astype(np.float64)
    difference = rows.prediction["candidate"] - champion
    products = [difference * (label - champion), difference * difference]
    if rows.weight is not None:
        products = [values * rows.weight for values in products]
    return by_cluster(cluster, *products)


def columns_of(table: ScoreTable, tasks: list[str]) -> list[str]:
    """The columns that `task_rows` reads."""
    by_task = [f"{kind}/{task}" for task in tasks for kind in ("label", "weight", *table.models)]
    return [*(f"slice/{name}" for name in table.slices), *by_task]


def task_rows(batch: pa.RecordBatch, table: ScoreTable, task: str) -> Iterator[tuple[str, TaskRows]]:
    """The rows of a task in each part, by part."""
    label, weight = to_numpy(batch, f"label/{task}"), to_numpy(batch, f"weight/{task}")
    predictions = {model: to_numpy(batch, f"{model}/{task}") for model in table.models}
    known = ~np.isnan(label) & (weight > 0)
    unweighted = bool((weight == 1.0).all())
    for part in (EVERYTHING, *table.slices):
        chosen = known if part == EVERYTHING else known & to_numpy(batch, f"slice/{part}").astype(bool)
        place = None if chosen.all() else np.flatnonzero(chosen)
        columns = [label, weight, *predictions.values()]
        if place is not None:
            columns = [column[place] for column in columns]
        yield (
            part,
            TaskRows(
                place,
                columns[0],
                None if unweighted else columns[1],
                dict(zip(predictions, columns[2:], strict=True)),
            ),
        )
