"""Measure a score table: each task's metrics and their errors, over all rows and over slices."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.evaluation import (
    INTERVAL,
    NO_SUCH_TASK,
    Comparison,
    Errors,
    Evaluation,
    Interval,
    Intervals,
    Metrics,
    ModelMetrics,
    ScoreSupport,
    SliceMetrics,
    TaskMetrics,
    ValueTaskMetrics,
)
from components.common.artifacts.score_table import ScoreTable
from components.common.metrics.accumulate import ALL_ROWS, EXACT_ROWS, ModelSums, TaskSums, accumulate
from components.common.metrics.bootstrap import (
    METRICS,
    Array,
    draw_counts,
    interval,
    paired_differences,
    replicate_metrics,
    standard_error,
    why_no_interval,
)
from components.common.metrics.curves import Curves
from components.common.metrics.ranking import ranked_lists, score_psi
from components.common.metrics.samples import Samples
from components.common.metrics.value_metrics import measure_values
from recap_model import metrics
from recap_model.config import RecapConfig

TaskCurves = dict[str, dict[str, Curves]]


class Measured(NamedTuple):
    """An evaluation, and curves by task and model for its page, of tasks with both labels."""

    evaluation: Evaluation
    curves: TaskCurves


def measure(table: ScoreTable, config: RecapConfig, exact_rows: int = EXACT_ROWS) -> Measured:
    """Measure both models on all rows of a table, with paired errors.

    Metrics of up to ``exact_rows`` rows are exact; of more, they are of histograms of logits (`accumulate`), in
    memory that does not grow with the rows. Those within users and lists are of whole users and lists, sampled
    where their rows are more than a quarter of a million.

    Raises:
        ValueError: the table holds what no evaluation writes; the message names file, column and row.
    """
    settings = config.evaluation
    samples = Samples(table, config)
    by_user, scores = samples.by_user.columns(), samples.scores.columns()
    if "group" in by_user:
        by_user["group"] = np.unique(by_user["group"], return_inverse=True)[1]
    counts = draw_counts(settings.bootstrap_replicates, settings.seed)
    confidence = settings.gate.confidence
    by_slice: dict[str, dict[str, TaskMetrics]] = {name: {} for name in (ALL_ROWS, *table.slices)}
    curves: TaskCurves = {}
    support = []
    for sums in accumulate(table, exact_rows):
        by_slice[sums.slice_name][sums.task] = _task_metrics(sums, by_user, counts, confidence)
        if sums.slice_name == ALL_ROWS:
            curves[sums.task] = {name: one.curves for name, one in sums.models.items() if one.curves}
            if sums.support is not None and np.isfinite(sums.support).all():
                support.append(_squared_weight(config, sums.task) * sums.support)
    values: dict[str, dict[str, ValueTaskMetrics]] = {name: {} for name in (ALL_ROWS, *table.slices)}
    for slice_name, task, measured in measure_values(table, config, counts, exact_rows):
        values[slice_name][task] = measured
    evaluation = Evaluation(
        rows=table.rows,
        users=samples.users,
        not_finite=samples.not_finite,
        tasks={task: by_slice[ALL_ROWS][task] for task in table.binary_tasks},
        values=values[ALL_ROWS],
        slices={
            one.name: SliceMetrics(
                rows=samples.slice_rows[one.name],
                min_rows=one.min_rows,
                tasks=by_slice[one.name],
                values=values[one.name],
            )
            for one in settings.slices
        },
        lists=ranked_lists(samples, config),
        score_psi=score_psi(scores["champion"], scores["candidate"]) if "champion" in scores else None,
        score_support=_score_support(support, counts, confidence),
    )
    return Measured(evaluation, curves)


def _squared_weight(config: RecapConfig, task: str) -> float:
    """The sum of the squared weights of the terms of the score that a task is part of."""
    terms = [term.weight for term in config.score_terms.values() if task in term.of]
    return sum(weight**2 for weight in (config.tasks[task].score_weight, *terms))


def _task_metrics(
    sums: TaskSums, by_user: Mapping[str, NDArray[Any]], counts: Array, confidence: float
) -> TaskMetrics:
    values: dict[str, ModelMetrics] = {}
    replicates = {}
    for model, model_sums in sums.models.items():
        gauc = _gauc(by_user, sums.slice_name, sums.task, model)
        values[model] = _model_metrics(sums, model_sums, gauc)
        area = (model_sums.values or {}).get("auc", math.nan)
        replicates[model] = replicate_metrics(counts, area, sums.weight_sums, model_sums.prediction_sums)
    candidate = values["candidate"]
    mass, positive = sums.weight_sums.sum(axis=1).tolist()
    why = why_no_interval(sums.weight_sums)
    undefined = candidate.undefined | ({INTERVAL: why} if why else {})
    compared: dict[str, Any] = {}
    for model, difference in (("champion", "difference"), ("anchor", "anchor_difference")):
        if model not in values:
            continue
        change = Metrics(
            **{
                name: _difference(getattr(candidate, name), getattr(values[model], name))
                for name in Metrics.model_fields
            }
        )
        pairs = paired_differences(replicates["candidate"], replicates[model])
        compared[model] = values[model]
        compared[difference] = Comparison(
            **change.model_dump(), **_errors_and_intervals(change, pairs, confidence, why)
        )
    return TaskMetrics(
        **candidate.model_dump(exclude={"undefined"}),
        **_errors_and_intervals(candidate, replicates["candidate"], confidence, why),
        **compared,
        undefined=undefined,
        rows=sums.rows,
        positives=sums.positives,
        rate=positive / mass if mass else None,
    )


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _gauc(by_user: Mapping[str, NDArray[Any]], slice_name: str, task: str, model: str) -> float | None:
    """GAUC over the sampled users; None where users are not known."""
    if not len(by_user.get("group", ())):
        return None
    columns = [by_user[name] for name in (f"label/{task}", f"{model}/{task}", "group", f"weight/{task}")]
    if slice_name != ALL_ROWS:
        chosen = by_user[f"slice/{slice_name}"].astype(bool)
        columns = [column[chosen] for column in columns]
    return metrics.grouped_auc(*columns)


def _model_metrics(counts: TaskSums, sums: ModelSums, gauc: float | None) -> ModelMetrics:
    """Every metric of one task and model, and why those that are None are undefined."""
    names = list(Metrics.model_fields)
    if sums.values is None:
        why = NO_SUCH_TASK if sums.missing else "a prediction is not finite"
        return ModelMetrics(undefined=dict.fromkeys(names, why))
    metrics_or_nan = sums.values | {"gauc": math.nan if gauc is None else gauc}
    values = {name: value for name, value in metrics_or_nan.items() if math.isfinite(value)}
    why = _why_undefined(counts)
    reasons = {"gauc": "no row has a user"} if gauc is None else {}
    undefined = {name: reasons.get(name, why) for name in names if name not in values}
    return ModelMetrics(**values, undefined=undefined)


def _why_undefined(counts: TaskSums) -> str:
    if not counts.rows:
        return "no row has a label"
    if counts.positives in (0, counts.rows):
        return f"all {counts.rows:,} labels are {int(counts.positives > 0)}"
    return "not defined on these rows"


def _errors_and_intervals(
    values: Metrics, replicates: dict[str, Array], confidence: float, why_none: str | None
) -> dict[str, Any]:
    """Errors and intervals; none where there is a reason for none."""
    if why_none is not None:
        return {}
    errors = {name: standard_error(replicates[name]) for name in METRICS}
    intervals: dict[str, Interval | None] = {}
    for name, error in errors.items():
        value = getattr(values, name)
        intervals[name] = None if value is None or error is None else interval(value, error, confidence)
    return {"error": Errors(**errors), "interval": Intervals(**intervals)}


def _score_support(sums: list[Array], counts: Array, confidence: float) -> ScoreSupport | None:
    """None where no task is predicted by both models, or they do not differ."""
    products, squares = sum(sums, np.zeros((2, counts.shape[1])))
    if not squares.sum():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        replicates = (counts @ products) / (counts @ squares)
    value, error = float(products.sum() / squares.sum()), standard_error(replicates)
    if error is None:
        return None
    return ScoreSupport(value=value, interval=interval(value, error, confidence))
