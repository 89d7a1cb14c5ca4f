"""Charts of each task's curves, candidate and champion in one frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from components.common.artifacts.evaluation import Decile, Evaluation
from components.common.html.charts import (
    Axis,
    Chart,
    Rule,
    Series,
    line_chart,
    reliability_chart,
)
from components.common.html.numbers import format_number
from components.common.html.task_labels import within_family
from components.common.metrics.curves import Curves
from recap_model.calibration import Reliability
from recap_model.config import RecapConfig

MAX_TASKS, _MAX_ON_DEMAND = 12, 6  # tasks that are drawn
_MODELS = ("candidate", "champion")
_TWO_SIDED_95 = 1.96
_LEAST_RECALL = 0.05  # from which on precision sets its axis: below, it is that of a few rows


@dataclass(frozen=True)
class CurveCharts:
    """The charts of all tasks by kind."""

    reliability: list[Chart] = field(default_factory=list)
    predictions: list[Chart] = field(default_factory=list)
    precision: list[Chart] = field(default_factory=list)
    roc: list[Chart] = field(default_factory=list)


def draw_curves(
    curves: Mapping[str, Mapping[str, Curves]],
    evaluation: Evaluation,
    tasks: Sequence[str],
    config: RecapConfig,
    before: Mapping[str, Reliability],
) -> CurveCharts:
    """Reliability of the first of ``tasks`` that have both labels, or values; of the first few, the other curves.

    Args:
        before: the candidate's reliability before calibration, of tasks that have a calibrator.
    """
    charts = CurveCharts()
    drawn = [task for task in tasks if curves.get(task) or _deciles(evaluation, task)]
    for task in drawn[:MAX_TASKS]:
        name = within_family(task, config.tasks, config.populations())
        models = {name: one for name, one in curves.get(task, {}).items() if name in _MODELS}
        if not models:
            charts.reliability.append(_value_reliability(name, evaluation, task))
            continue
        charts.reliability.append(_reliability(name, models, before.get(task)))
        if len(charts.roc) == _MAX_ON_DEMAND:
            continue
        charts.predictions.append(_predictions(name, models))
        charts.precision.append(_precision(name, models, evaluation, task))
        charts.roc.append(_roc(name, models, evaluation, task))
    return charts


def _reliability(name: str, models: Mapping[str, Curves], before: Reliability | None) -> Chart:
    series = []
    for model, curves in models.items():
        predicted, observed = curves.reliability
        half = [_TWO_SIDED_95 * chance for chance in curves.chance]
        low = [max(rate - width, 0.0) for rate, width in zip(observed, half, strict=True)]
        high = [min(rate + width, 1.0) for rate, width in zip(observed, half, strict=True)]
        has_band = model == "candidate"
        series.append(
            Series(
                model,
                predicted,
                observed,
                low=low if has_band else None,
                high=high if has_band else None,
                weights=curves.weights,
            )
        )
    if before is not None:
        predicted, observed = before.predicted.tolist(), before.observed.tolist()
        series.append(Series("candidate before calibration", predicted, observed, colour=2))
    return reliability_chart(name, series)


def _value_reliability(name: str, evaluation: Evaluation, task: str) -> Chart:
    deciles = _deciles(evaluation, task)
    total = sum(one.weight for one in deciles)
    series = Series(
        "candidate",
        [one.predicted for one in deciles],
        [one.observed for one in deciles],
        weights=[one.weight / total for one in deciles],
    )
    return reliability_chart(f"{name}, by decile", [series], scale="linear", percent=False)


def _deciles(evaluation: Evaluation, task: str) -> list[Decile]:
    return evaluation.values[task].deciles if task in evaluation.values else []


def _predictions(name: str, models: Mapping[str, Curves]) -> Chart:
    series = [Series(model, *curves.predictions) for model, curves in models.items()]
    x = Axis("predicted", "logit", percent=True)
    return line_chart(name, series, x, Axis("fraction of rows", low=0.0, percent=True))


def _precision(name: str, models: Mapping[str, Curves], evaluation: Evaluation, task: str) -> Chart:
    """The precision's axis holds what is reached at a recall that is more than a few rows'."""
    rate = evaluation.tasks[task].rate or 0.0
    reached = [
        precision
        for curves in models.values()
        for recall, precision in zip(*curves.precision, strict=True)
        if recall >= _LEAST_RECALL
    ]
    high = min(1.0, 1.15 * max([2.0 * rate, *reached]))
    area = _figures("PR AUC", "pr_auc", evaluation, task)
    return line_chart(
        f"{name}{area}",
        [Series(model, *curves.precision) for model, curves in models.items()],
        Axis("recall", low=0.0, high=1.0, percent=True),
        Axis("precision", low=0.0, high=high, percent=True),
        rules=[Rule("a guess", rate)],
    )


def _roc(name: str, models: Mapping[str, Curves], evaluation: Evaluation, task: str) -> Chart:
    fraction = Axis("false positive rate", low=0.0, high=1.0, percent=True)
    return line_chart(
        f"{name}{_figures('AUC', 'auc', evaluation, task)}",
        [Series(model, *curves.roc) for model, curves in models.items()],
        fraction,
        Axis("true positive rate", low=0.0, high=1.0, percent=True),
        rules=[Rule("a guess", axis="diagonal")],
    )


def _figures(title: str, metric: str, evaluation: Evaluation, task: str) -> str:
    measured = evaluation.tasks[task]
    value = getattr(measured, metric)
    if value is None:
        return ""
    champion = getattr(measured.champion, metric, None)
    was = f" (champion {format_number(champion, measured.error.auc)})" if champion is not None else ""
    return f": {title} {format_number(value, measured.error.auc)}{was}"
