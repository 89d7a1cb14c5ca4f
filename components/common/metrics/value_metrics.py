"""Metrics of value tasks over the score table, with paired bootstrap errors, over all rows and over slices.

The table is read twice in batches. The first pass takes the rows by which constants, order and deciles are known: all
rows of a table of up to ``EXACT_ROWS``, else a sample by the hash of the row's number. The second sums errors by
cluster of users over all rows, so that memory does not grow with them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.evaluation import (
    INTERVAL,
    NO_SUCH_TASK,
    Decile,
    ValueComparison,
    ValueErrors,
    ValueIntervals,
    ValueMetrics,
    ValueModelMetrics,
    ValueTaskMetrics,
)
from components.common.artifacts.score_table import ScoreTable
from components.common.metrics.accumulate import ALL_ROWS, EXACT_ROWS, columns_of, task_rows
from components.common.metrics.bootstrap import (
    CLUSTERS,
    MIN_USERS,
    Array,
    assign_clusters,
    interval,
    standard_error,
    sum_by_cluster,
)
from recap_model.config import RecapConfig
from recap_model.data.log.id_hashing import uniform
from recap_model.metrics import values

_SEED = 89
_RESAMPLED = ("skill", "mae", "calibration_ratio")


@dataclass
class _Rows:
    """Sampled rows of one task in one slice: labels, weights, and predictions by model."""

    label: list[NDArray[Any]] = field(default_factory=list)
    weight: list[NDArray[Any]] = field(default_factory=list)
    prediction: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def columns(self) -> tuple[Array, Array, dict[str, Array]]:
        joined = [np.concatenate([np.empty(0), *parts]) for parts in (self.label, self.weight)]
        predictions = {
            model: np.concatenate([np.empty(0), *parts]) for model, parts in self.prediction.items()
        }
        return joined[0], joined[1], predictions


@dataclass
class _Sums:
    """Sums by cluster over all rows of one task in one slice.

    Attributes:
        rows, positives: without weights.
        of_rows: (5, clusters) of weight times 1, y, y^2, and the best constants' deviance and absolute error.
        of_models: (4, clusters) of weight times v, deviance, |v - y|, (v - y)^2.
        finite, missing: whether all predictions are finite, and whether none is a number.
    """

    rows: int = 0
    positives: int = 0
    of_rows: Array = field(default_factory=lambda: np.zeros((5, CLUSTERS)))
    of_models: dict[str, Array] = field(default_factory=dict)
    finite: dict[str, bool] = field(default_factory=dict)
    missing: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class _Family:
    """A task's deviance, and the best constants in each slice: of the deviance, and the median."""

    kind: values.Family
    scale: float
    power: float
    constants: Mapping[str, tuple[float, float]]

    def deviance(self, label: Array, prediction: Array) -> Array:
        return values.unit_deviance(label, prediction, self.kind, self.scale, self.power)


def measure_values(
    table: ScoreTable, config: RecapConfig, counts: Array, exact_rows: int = EXACT_ROWS
) -> Iterator[tuple[str, str, ValueTaskMetrics]]:
    """Yield each value task's metrics in each slice: the slice's name, the task, the metrics.

    Args:
        counts: how often each cluster counts in each replicate, as `draw_counts` gives them.
    """
    for task in table.value_tasks:
        rows = _sample_rows(table, task, exact_rows)
        sampled = {name: one.columns() for name, one in rows.items()}
        family = _family(config, task, sampled)
        for name, sums in _sum_rows(table, task, family).items():
            confidence = config.evaluation.gate.confidence
            yield name, task, _metrics(sums, sampled[name], family, counts, confidence, name == ALL_ROWS)


def value_gains(
    table: ScoreTable, config: RecapConfig, counts: Array
) -> Iterator[tuple[str, int, dict[str, float], dict[str, Array]]]:
    """Yield each value task over all rows: its name, positives, and each model's skill and its replicates."""
    for task in table.value_tasks:
        rows = _sample_rows(table, task, EXACT_ROWS)
        sampled = {name: one.columns() for name, one in rows.items()}
        sums = _sum_rows(table, task, _family(config, task, sampled))[ALL_ROWS]
        constant = float(sums.of_rows[3].sum())
        skill = {
            model: 100.0 * (1.0 - float(sums.of_models[model][1].sum()) / constant)
            if model in sums.of_models and constant > 0
            else np.nan
            for model in table.models
        }
        replicates = {model: _replicate(sums, model, counts)["skill"] for model in table.models}
        yield task, sums.positives, skill, replicates


def _sample_rows(table: ScoreTable, task: str, exact_rows: int) -> dict[str, _Rows]:
    rows = {name: _Rows() for name in (ALL_ROWS, *table.slices)}
    done = 0
    for batch in table.batches(columns_of(table, [task])):
        if table.rows > exact_rows:
            numbers = np.arange(done, done + batch.num_rows, dtype=np.int64)
            done += batch.num_rows
            batch = batch.filter(pa.array(uniform(numbers, _SEED) < exact_rows / table.rows))
        for name, chosen in task_rows(batch, table, task):
            rows[name].label.append(chosen.label)
            rows[name].weight.append(np.ones(len(chosen.label)) if chosen.weight is None else chosen.weight)
            for model, prediction in chosen.prediction.items():
                rows[name].prediction.setdefault(model, []).append(prediction)
    return rows


def _family(
    config: RecapConfig, task: str, sampled: Mapping[str, tuple[Array, Array, dict[str, Array]]]
) -> _Family:
    """The task's own loss; of one that is not least at the mean, the Poisson deviance once predictions are means."""
    settings, scale = config.tasks[task], config.tasks[task].value_scale or 1.0
    kind: values.Family = settings.loss or "huber"
    if kind in ("huber", "mae") and config.calibration.method_of(task) != "none":
        kind = "poisson"
    constants = {
        name: (
            values.best_constant(label, weight, kind, scale),
            values.best_constant(label, weight, "mae", scale),
        )
        if len(label)
        else (0.0, 0.0)
        for name, (label, weight, _) in sampled.items()
    }
    return _Family(kind, scale, settings.power or 1.5, constants)


def _sum_rows(table: ScoreTable, task: str, family: _Family) -> dict[str, _Sums]:
    sums = {name: _Sums() for name in (ALL_ROWS, *table.slices)}
    user = [name for name in ("user",) if name in table.names]
    done = 0
    for batch in table.batches([*user, *columns_of(table, [task])]):
        clusters = assign_clusters(batch, done)
        done += batch.num_rows
        for name, rows in task_rows(batch, table, task):
            one, label = sums[name], rows.label.astype(np.float64)
            weight = np.ones(len(label)) if rows.weight is None else rows.weight.astype(np.float64)
            cluster = clusters if rows.positions is None else clusters[rows.positions]
            one.rows += len(label)
            one.positives += int((label > 0).sum())
            constant, median = (np.full_like(label, value) for value in family.constants[name])
            losses = (family.deviance(label, constant), np.abs(label - median))
            columns = (np.ones_like(label), label, label**2, *losses)
            one.of_rows += sum_by_cluster(cluster, *(weight * column for column in columns))
            for model, prediction in rows.prediction.items():
                value = prediction.astype(np.float64)
                one.finite[model] = one.finite.get(model, True) and bool(np.isfinite(value).all())
                one.missing[model] = one.missing.get(model, True) and bool(np.isnan(value).all())
                if not one.finite[model]:
                    continue
                error = value - label
                of_model = (value, family.deviance(label, value), np.abs(error), error**2)
                summed = sum_by_cluster(cluster, *(weight * column for column in of_model))
                one.of_models[model] = one.of_models.get(model, np.zeros_like(summed)) + summed
    return sums


def _metrics(
    sums: _Sums,
    sampled: tuple[Array, Array, dict[str, Array]],
    family: _Family,
    counts: Array,
    confidence: float,
    is_whole: bool,
) -> ValueTaskMetrics:
    label, weight, predictions = sampled
    models = {
        model: _model_metrics(sums, model, label, weight, prediction)
        for model, prediction in predictions.items()
    }
    replicates = {model: _replicate(sums, model, counts) for model in models}
    why = _why_no_interval(sums)
    candidate = models.get("candidate", ValueModelMetrics())
    compared: dict[str, Any] = {}
    for model, difference in (("champion", "difference"), ("anchor", "anchor_difference")):
        if model not in models:
            continue
        change = ValueMetrics(
            **{
                name: _difference(getattr(candidate, name), getattr(models[model], name))
                for name in ValueMetrics.model_fields
            }
        )
        pairs = {name: replicates["candidate"][name] - replicates[model][name] for name in _RESAMPLED}
        compared[model] = models[model]
        compared[difference] = ValueComparison(
            **change.model_dump(), **_errors_and_intervals(change, pairs, confidence, why)
        )
    deciles: list[Decile] = []
    if is_whole and sums.finite.get("candidate") and len(label):
        predicted, observed, mass = values.decile_means(label, predictions["candidate"], weight)
        deciles = [
            Decile(*one) for one in zip(mass.tolist(), predicted.tolist(), observed.tolist(), strict=True)
        ]
    mass, total = sums.of_rows[:2].sum(axis=1).tolist()
    return ValueTaskMetrics(
        **candidate.model_dump(exclude={"undefined"}),
        **_errors_and_intervals(candidate, replicates.get("candidate", {}), confidence, why),
        **compared,
        undefined=candidate.undefined | ({INTERVAL: why} if why else {}),
        rows=sums.rows,
        positives=sums.positives,
        mean=total / mass if mass else None,
        deciles=deciles,
    )


def _model_metrics(
    sums: _Sums, model: str, label: Array, weight: Array, prediction: Array
) -> ValueModelMetrics:
    names = list(ValueMetrics.model_fields)
    if not sums.rows:
        return ValueModelMetrics(undefined=dict.fromkeys(names, "no row has a label"))
    if not sums.finite[model]:
        why = NO_SUCH_TASK if sums.missing[model] else "a prediction is not finite"
        return ValueModelMetrics(undefined=dict.fromkeys(names, why))
    mass, total, squares, constant, median = sums.of_rows.sum(axis=1).tolist()
    predicted, deviance, absolute, squared = sums.of_models[model].sum(axis=1).tolist()
    variance = squares - total**2 / mass
    measured = {
        "skill": 100.0 * (1.0 - deviance / constant) if constant > 0 else None,
        "mae": absolute / mass,
        "relative_mae": absolute / median if median > 0 else None,
        "rmse": float(np.sqrt(squared / mass)),
        "r2": 1.0 - squared / variance if variance > 1e-12 * squares else None,
        "xauc": values.xauc(label, prediction, weight),
        "predicted_mean": predicted / mass,
        "calibration_ratio": predicted / total if total > 0 else None,
    }
    defined = {name: value for name, value in measured.items() if value is not None and np.isfinite(value)}
    why = "all labels are equal" if not variance > 1e-12 * squares else "not defined on these rows"
    return ValueModelMetrics(**defined, undefined={name: why for name in names if name not in defined})


def _replicate(sums: _Sums, model: str, counts: Array) -> dict[str, Array]:
    """Each of ``_RESAMPLED`` in every replicate: (replicates,), not finite where undefined.

    The constants are those of all rows: they minimise the deviance, so that resampling changes it by them to second
    order only.
    """
    undefined = np.full(len(counts), np.nan)
    if model not in sums.of_models:
        return dict.fromkeys(_RESAMPLED, undefined)
    mass, total, _, constant, _ = sums.of_rows @ counts.T
    predicted, deviance, absolute, _ = sums.of_models[model] @ counts.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "skill": 100.0 * (1.0 - deviance / constant),
            "mae": absolute / mass,
            "calibration_ratio": predicted / total,
        }


def _why_no_interval(sums: _Sums) -> str | None:
    users = int((sums.of_rows[1] > 0).sum())
    if users >= MIN_USERS:
        return None
    return f"{users} users with a label over 0, and errors and bounds need {MIN_USERS}"


def _errors_and_intervals(
    measured: ValueMetrics, replicates: Mapping[str, Array], confidence: float, why_none: str | None
) -> dict[str, Any]:
    if why_none is not None or not replicates:
        return {}
    errors = {name: standard_error(replicates[name]) for name in _RESAMPLED}
    intervals = {
        name: None
        if error is None or (value := getattr(measured, name)) is None
        else interval(value, error, confidence)
        for name, error in errors.items()
    }
    return {"error": ValueErrors(**errors), "interval": ValueIntervals(**intervals)}


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
