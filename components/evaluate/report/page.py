"""The evaluation report: the decision and why, tasks and slices against the champion, curves, tables."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from components.common.artifacts.decision import Decision
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import OUTCOMES_IN_WORDS, ValidationResultFile
from components.common.html.charts import Chart
from components.common.html.facts import run_facts
from components.common.html.glossary import meanings
from components.common.html.render import render
from components.common.html.tables import Column, Table
from components.common.html.task_labels import tasks_of
from components.common.metrics.task_metrics import TaskCurves
from components.evaluate.list_examples import ListExample
from components.evaluate.report.comparison import (
    Measured,
    compare_slices,
    compare_tasks,
    slice_forests,
    task_forests,
)
from components.evaluate.report.curves import MAX_TASKS, draw_curves
from components.evaluate.report.drift import drift_sections
from components.evaluate.report.summary import summarize
from components.evaluate.report.tables import (
    difference_table,
    lineage_table,
    list_table,
    metric_tables,
    rule_tables,
)
from recap_model.calibration import Reliability
from recap_model.config import RecapConfig

_MEANINGS = (
    "RCE",
    "bounds",
    "AUC",
    "log loss",
    "predicted / observed",
    "GAUC",
    "PR AUC",
    "NRCE",
    "Brier",
    "slope",
    "intercept",
    "debiased ECE",
    "NDCG",
)
_VALUE_MEANINGS = ("skill", "MAE", "relative MAE", "RMSE", "R²", "XAUC")


def report_page(
    decision: Decision,
    evaluation: Evaluation,
    curves: TaskCurves,
    snapshot: Snapshot,
    validation: ValidationResultFile,
    config: RecapConfig,
    examples: Sequence[ListExample] = (),
    before: Mapping[str, Reliability] = MappingProxyType({}),
) -> str:
    """The whole page. Slices with fewer positives of a task than the gate judges are left out.

    Args:
        before: the candidate's reliability before calibration, of tasks that have a calibrator.
    """
    tasks = compare_tasks(decision, evaluation, config)
    slices = compare_slices(decision, evaluation, config)
    worst, next_worst = slice_forests(slices, decision, config)
    forest, more_tasks = task_forests(tasks, decision.champion.version if decision.champion else None, config)
    failing, holding = rule_tables(decision)
    drawn = [one.task for one in tasks if one.is_judged]
    charts = draw_curves(curves, evaluation, drawn, config, before)
    is_compared = decision.champion is not None
    summary = summarize(decision, evaluation, config)
    return render(
        "components.evaluate.report/page.html",
        title=f"{summary.heading} · {config.registry.model_name}",
        summary=summary,
        facts=_facts(evaluation, snapshot, validation, config),
        tasks_title=tasks_of(config.tasks),
        is_compared=is_compared,
        forest=forest,
        more_tasks=more_tasks,
        anchor_forests=_anchor_forests(decision, evaluation, config),
        slice_forest=worst,
        more_slices=next_worst,
        slice_table=difference_table(slices, config, is_compared) if slices else None,
        few_positives=config.evaluation.gate.min_positives,
        top_k_change=evaluation.lists.top_k_change,
        top_k=evaluation.lists.k,
        list_by=evaluation.lists.by,
        lists=list_table(evaluation),
        examples=_example_table(examples),
        charts=charts,
        left_out=len(tasks) - min(len(drawn), MAX_TASKS),
        failing=failing,
        holding=holding,
        rule_count=len(decision.rules),
        metrics=metric_tables(evaluation, config),
        meanings=meanings(*_MEANINGS, *(_VALUE_MEANINGS if evaluation.values else ())),
        drifts=list(drift_sections(validation)),
        lineage=lineage_table(decision, snapshot, validation, config),
    )


def _anchor_forests(
    decision: Decision, evaluation: Evaluation, config: RecapConfig
) -> tuple[Chart | None, Chart | None]:
    """The tasks' differences to the anchor; none where there is none, or it is the champion."""
    measured: list[Measured] = [*evaluation.tasks.values(), *evaluation.values.values()]
    if decision.anchor is None or not any(one.anchor for one in measured):
        return None, None
    tasks = compare_tasks(decision, evaluation.against_anchor(), config, "non_inferior_to_anchor")
    return task_forests(tasks, f"{decision.anchor.version} (the anchor)", config)


def _facts(
    evaluation: Evaluation, snapshot: Snapshot, validation: ValidationResultFile, config: RecapConfig
) -> dict[str, str]:
    users = "" if evaluation.users is None else f" of {evaluation.users:,} users"
    return run_facts(snapshot, config) | {
        "test rows": f"{evaluation.rows:,}{users}",
        "validation": OUTCOMES_IN_WORDS[validation.verdict],
    }


def _example_table(examples: Sequence[ListExample]) -> Table | None:
    """What enters and what leaves the top of a few lists, and at which place."""
    if not examples:
        return None
    columns = (
        Column(examples[0].by),
        Column("rows", help="of the list"),
        Column("changed", help="ids in the candidate's top that are not in the champion's"),
        Column("enter", help="id, and its place in the candidate's list"),
        Column("leave", help="id, and its place in the champion's list"),
    )
    rows = [
        (
            one.name,
            one.rows,
            f"{one.changed} of {len(one.candidate)}",
            _places(one.candidate, one.champion),
            _places(one.champion, one.candidate),
        )
        for one in examples
    ]
    return Table(columns, rows)


def _places(ids: Sequence[str], others: Sequence[str]) -> str:
    return ", ".join(f"{name} (at {place})" for place, name in enumerate(ids, 1) if name not in others)
