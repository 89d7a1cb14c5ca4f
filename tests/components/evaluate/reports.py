"""Evaluation reports of made-up metrics: any number of tasks and slices, with a known difference of each."""

from datetime import date
from typing import Any

import numpy as np

from components.common.artifacts.decision import DecidedAgainst, Decision
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import DriftSummary, ValidationResultFile
from components.common.metrics.curves import compute_curves
from components.common.metrics.task_metrics import TaskCurves
from components.evaluate.gate import decide
from components.evaluate.list_examples import ListExample
from components.evaluate.report.page import report_page
from recap_model import metrics
from recap_model.config import RecapConfig
from tests.tiny import tiny_config

SNAPSHOT = Snapshot(
    run_id="run-9",
    data_root="/data/log",
    first_day=date(2026, 3, 1),
    last_day=date(2026, 3, 6),
    partitions=[],
    tracking_uri="sqlite:///mlflow.db",
    config_digest="c" * 64,
)


def report_config(tasks: list[str], **gate: Any) -> RecapConfig:
    return tiny_config(
        tasks={name: {"score_weight": 1.0} for name in tasks},
        evaluation={"gate": {"min_rows": 1000, "min_positives": 50, **gate}},
    )


def measured(change: float | None, error: float = 0.2, positives: int = 500) -> dict[str, Any]:
    """A task's metrics; without a ``change``, of a first run."""
    values = {"auc": 0.7123, "rce": 10.0, "log_loss": 0.2, "calibration_ratio": 1.02, "rate": 0.05}
    errors = {"auc": 0.004, "rce": error, "log_loss": 0.002, "calibration_ratio": 0.03}
    bounds = {"rce": [10 - 1.64 * error, 10 + 1.64 * error], "auc": [0.706, 0.719]}
    one = {"rows": 20_000, "positives": positives, **values, "error": errors, "interval": bounds}
    if change is None:
        return one
    interval = {"rce": [change - 1.64 * error, change + 1.64 * error]}
    difference = {"rce": change, "error": {"rce": error}, "interval": interval}
    return {**one, "champion": values, "difference": difference}


def draw_scores(tasks: list[str], models: tuple[str, ...], rows: int = 4000) -> TaskCurves:
    """Curves of random scores that the labels follow."""
    random = np.random.default_rng(3)
    curves: TaskCurves = {}
    for task in tasks:
        curves[task] = {}
        for model in models:
            rate = 1 / (1 + np.exp(2.5 - random.normal(size=rows)))
            labels = (random.random(rows) < rate).astype(float)
            curves[task][model] = compute_curves(metrics.grouped(labels, rate))
    return curves


def make_report(
    tasks: dict[str, dict[str, Any]],
    slices: dict[str, dict[str, dict[str, Any]]] | None = None,
    champion: str | None = "7",
    **gate: Any,
) -> tuple[Decision, str]:
    """The gate's decision on these metrics by task, and by slice and task; and its page."""
    config = report_config(list(tasks), **gate)
    lists: dict[str, Any] = {"k": 10, "by": "request", "lists": 900, "ndcg": 0.4567, "mean_gain": 0.31}
    if champion:
        lists |= {"top_k_change": 0.12, "champion": {"ndcg": 0.4501, "mean_gain": 0.30}}
    evaluation = Evaluation.model_validate(
        {
            "rows": 20_000,
            "users": 900,
            "score_psi": 0.01,
            "lists": lists,
            "tasks": tasks,
            "slices": {name: {"rows": 5000, "tasks": inside} for name, inside in (slices or {}).items()},
        }
    )
    outcome, reason, rules = decide(evaluation, config.evaluation.gate, list(tasks), champion)
    digest = "d" * 64
    decision = Decision(
        outcome=outcome,
        reason=reason,
        rules=rules,
        champion=DecidedAgainst(name="tiny", version=champion) if champion else None,
        candidate=digest,
        test_data=digest,
        snapshot=digest,
        policy=digest,
        run_id="run-9",
    ).seal()
    drift = DriftSummary(state="no_baseline", against="version 7", reason="there is no champion yet")
    validation = ValidationResultFile(snapshot=digest, verdict="passed", drift=drift, rules=[])
    curves = draw_scores(list(tasks), ("candidate", "champion") if champion else ("candidate",))
    example = ListExample("request", "4711", 14, ["a", "b", "c"], ["a", "c", "d"])
    page = report_page(
        decision, evaluation, curves, SNAPSHOT, validation, config, [example] if champion else []
    )
    return decision, page


def many_tasks(tasks: int, slices: int) -> tuple[Decision, str]:
    """A report of many tasks, a third of which are better and one worse, and of many slices."""
    random = np.random.default_rng(1)
    names = [f"shop.engagement.is_clicked_and_dwelt_{number}" for number in range(tasks)]
    changes = random.normal(0.2, 0.4, tasks)
    measured_tasks = {name: measured(float(change)) for name, change in zip(names, changes, strict=True)}
    measured_tasks[names[-1]] = measured(-2.0)
    measured_slices = {
        f"country {number}, new users": {
            name: measured(float(random.normal(0, 0.8)), 0.6, 120) for name in names
        }
        for number in range(slices)
    }
    return make_report(measured_tasks, measured_slices, max_rce_loss=0.5)
