"""Accumulate what each task's metrics are computed from: rows by prediction, and sums by user for the bootstrap.

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
from components.common.metrics.bootstrap import (
    CLUSTERS,
    Array,
    assign_clusters,
    sum_by_cluster,
    sum_predictions,
    sum_weights,
)
from components.common.metrics.curves import Curves, compute_curves
from components.common.metrics.metric_values import metric_values
from recap_model.metrics import (
    LogitHistogram,
    PredictionGroups,
    auc_gradient,
    bin_numbers,
    group_rows,
    logits_of,
)

ALL_ROWS = ""  # the slice of all rows; the others are those of the config, by their names
EXACT_ROWS = 1 << 20
BINS = 1 << 14  # 512 for a unit of logit

Column = NDArray[Any]


@dataclass
class ModelSums:
    """What one model predicts of one task in one slice.

    Attributes:
        values: metrics by their names, NaN where they are not defined; None where a prediction is not finite.
        missing: whether every prediction is NaN.
        curves: of all rows, if there are both labels.
        prediction_sums: by cluster, as `sum_predictions` gives them.
    """

    values: dict[str, float] | None
    missing: bool
    curves: Curves | None = None
    prediction_sums: Array = field(default_factory=lambda: np.zeros((3, CLUSTERS)))


@dataclass
class TaskSums:
    """Labelled rows of one task in one slice.

    Attributes:
        rows, positives: without weights.
        weight_sums: by cluster, as `sum_weights` gives them.
        support: by cluster, as `_support_products` gives it, of all rows; None without a champion that predicts the
            task.
        models: by model.
    """

    slice_name: str
    task: str
    rows: int = 0
    positives: int = 0
    weight_sums: Array = field(default_factory=lambda: np.zeros((2, CLUSTERS)))
    support: Array | None = None
    models: dict[str, ModelSums] = field(default_factory=dict)

    def add(self, rows: "TaskRows", cluster: NDArray[np.int32]) -> None:
        self.rows += len(rows.label)
        self.positives += int((rows.label > 0.5).sum())
        self.weight_sums += sum_weights(rows.label, rows.weight, cluster)
        if self.slice_name == ALL_ROWS and "champion" in rows.prediction:
            support = _support_products(rows, cluster)
            self.support = support if self.support is None else self.support + support


@dataclass(frozen=True)
class TaskRows:
    """The labelled rows of one task in one slice of a batch.

    Attributes:
        positions: of the rows in the batch; None for all of them.
        weight: None where all are 1.
        prediction: by model.
    """

    positions: NDArray[np.int64] | None
    label: Column
    weight: Column | None
    prediction: dict[str, Column]


def accumulate(table: ScoreTable, exact_rows: int = EXACT_ROWS) -> Iterator[TaskSums]:
    """Yield the sums of each task in each slice; where they are exact, one at a time is in memory."""
    return _accumulate_exact(table) if table.rows <= exact_rows else _accumulate_binned(table)


def _accumulate_exact(table: ScoreTable) -> Iterator[TaskSums]:
    user = [name for name in ("user",) if name in table.names]
    clusters = np.concatenate([np.empty(0, np.int32), *_clusters(table, user)])
    with ThreadPoolExecutor(len(table.models)) as pool:
        for task in table.binary_tasks:
            for slice_name, rows in task_rows(table.read(columns_of(table, [task])), table, task):
                cluster = clusters if rows.positions is None else clusters[rows.positions]
                sums = TaskSums(slice_name, task)
                sums.add(rows, cluster)
                models = pool.map(
                    partial(_exact_model_sums, slice_name, rows, cluster), rows.prediction.values()
                )
                sums.models = dict(zip(rows.prediction, models, strict=True))
                yield sums


def _clusters(table: ScoreTable, user: list[str]) -> Iterator[NDArray[np.int32]]:
    if not user:
        yield assign_clusters(pa.RecordBatch.from_pydict({"row": np.zeros(table.rows, np.int8)}), 0)
        return
    done = 0
    for batch in table.batches(user):
        yield assign_clusters(batch, done)
        done += batch.num_rows


def _exact_model_sums(
    slice_name: str, rows: TaskRows, cluster: NDArray[np.int32], prediction: Column
) -> ModelSums:
    if not np.isfinite(prediction).all():
        return ModelSums(None, bool(np.isnan(prediction).all()))
    groups, order, sizes = group_rows(rows.label, prediction, rows.weight)
    sums = _model_sums(slice_name, groups)
    _, gradient = auc_gradient(groups)
    if sizes is not None:
        gradient = np.repeat(gradient, sizes, axis=1)
    influence = np.empty(len(order))
    influence[order] = np.where(rows.label[order] > 0.5, gradient[1], gradient[0])
    sums.prediction_sums += sum_predictions(rows.label, rows.weight, prediction, influence, cluster)
    return sums


def _model_sums(slice_name: str, groups: PredictionGroups) -> ModelSums:
    has_curves = slice_name == ALL_ROWS and groups.ordered
    return ModelSums(metric_values(groups), False, compute_curves(groups) if has_curves else None)


def _accumulate_binned(table: ScoreTable) -> Iterator[TaskSums]:
    sums_of = {
        (slice_name, task): TaskSums(slice_name, task)
        for task in table.binary_tasks
        for slice_name in (ALL_ROWS, *table.slices)
    }
    histograms = {
        (*key, model): LogitHistogram([key[1]], 1, BINS)
        for key in sums_of
        for model in _models_in(table, key[0])
    }
    finite, missing = dict.fromkeys(histograms, True), dict.fromkeys(histograms, True)
    for batch in table.batches(columns_of(table, table.binary_tasks)):
        for task in table.binary_tasks:
            for slice_name, rows in task_rows(batch, table, task):
                for model, prediction in rows.prediction.items():
                    key = (slice_name, task, model)
                    finite[key] &= bool(np.isfinite(prediction).all())
                    missing[key] &= bool(np.isnan(prediction).all())
                    if finite[key]:
                        weight = np.ones(len(prediction)) if rows.weight is None else rows.weight
                        logits, label = logits_of(prediction)[:, None], rows.label[:, None]
                        histograms[key].add(logits, label, weight[:, None], np.zeros(len(label), np.int64))
    gradients: dict[tuple[str, str, str], Array] = {}
    for key, histogram in histograms.items():
        slice_name, task, model = key
        bins = histogram.bins(task)
        groups = bins.groups()
        gradients[key] = np.zeros((2, BINS))
        _, gradients[key][:, bins.numbers] = auc_gradient(groups)
        sums_of[slice_name, task].models[model] = (
            _model_sums(slice_name, groups) if finite[key] else ModelSums(None, missing[key])
        )
    histograms.clear()
    done = 0
    user = [name for name in ("user",) if name in table.names]
    for batch in table.batches([*user, *columns_of(table, table.binary_tasks)]):
        clusters = assign_clusters(batch, done)
        for task in table.binary_tasks:
            for slice_name, rows in task_rows(batch, table, task):
                cluster = clusters if rows.positions is None else clusters[rows.positions]
                sums_of[slice_name, task].add(rows, cluster)
                for model, prediction in rows.prediction.items():
                    sums = sums_of[slice_name, task].models[model]
                    if sums.values is not None:
                        number = bin_numbers(logits_of(prediction), BINS)
                        influence = gradients[slice_name, task, model][
                            (rows.label > 0.5).astype(np.int64), number
                        ]
                        sums.prediction_sums += sum_predictions(
                            rows.label, rows.weight, prediction, influence, cluster
                        )
        done += batch.num_rows
    yield from sums_of.values()


def _support_products(rows: TaskRows, cluster: NDArray[np.int32]) -> Array:
    """Sums by cluster of the products that `ScoreSupport` is the quotient of: (2, clusters)."""
    label, champion = rows.label, rows.prediction["champion"].astype(np.float64)
    difference = rows.prediction["candidate"] - champion
    products = [difference * (label - champion), difference * difference]
    if rows.weight is not None:
        products = [values * rows.weight for values in products]
    return sum_by_cluster(cluster, *products)


def columns_of(table: ScoreTable, tasks: list[str]) -> list[str]:
    """The columns that `task_rows` reads."""
    by_task = [f"{kind}/{task}" for task in tasks for kind in ("label", "weight", *table.models)]
    return [*(f"slice/{name}" for name in table.slices), *by_task]


def task_rows(batch: pa.RecordBatch, table: ScoreTable, task: str) -> Iterator[tuple[str, TaskRows]]:
    """Yield a task's labelled rows in each slice, with its name; the anchor's predictions only of all rows."""
    label, weight = to_numpy(batch, f"label/{task}"), to_numpy(batch, f"weight/{task}")
    predictions = {model: to_numpy(batch, f"{model}/{task}") for model in table.models}
    known = ~np.isnan(label) & (weight > 0)
    unweighted = bool((weight == 1.0).all())
    for slice_name in (ALL_ROWS, *table.slices):
        chosen = (
            known if slice_name == ALL_ROWS else known & to_numpy(batch, f"slice/{slice_name}").astype(bool)
        )
        positions = None if chosen.all() else np.flatnonzero(chosen)
        models = _models_in(table, slice_name)
        columns = [label, weight, *(predictions[model] for model in models)]
        if positions is not None:
            columns = [column[positions] for column in columns]
        yield (
            slice_name,
            TaskRows(
                positions,
                columns[0],
                None if unweighted else columns[1],
                dict(zip(models, columns[2:], strict=True)),
            ),
        )


def _models_in(table: ScoreTable, slice_name: str) -> list[str]:
    """The models that are measured in a slice: the gate compares with the anchor on all rows only."""
    return [model for model in table.models if model != "anchor" or slice_name == ALL_ROWS]
