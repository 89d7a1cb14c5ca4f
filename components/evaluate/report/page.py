"""The evaluation report: the decision, each task beside the champion, slices, drift, lineage."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from components.common.artifacts.decision import Decision
from components.common.artifacts.evaluation import Evaluation, TaskMetrics, ValueTaskMetrics
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import OUTCOMES_IN_WORDS, ValidationResultFile
from components.common.html.charts import Axis, Chart, Rule, Series, line_chart, reliability_chart
from components.common.html.glossary import meanings
from components.common.html.render import render
from components.common.html.tables import Section, Table, figure
from components.common.html.task_labels import tasks_of, within_family
from components.common.metrics.curves import Curves
from components.common.metrics.task_metrics import TaskCurves
from components.evaluate.report.drift import drift_sections
from recap_model.config import RecapConfig

_COLUMNS = (("AUC", "auc", ".4f"), ("log loss", "log_loss", ".5f"), ("RCE %", "rce", ".2f"))
_RATIO = ("predicted / observed", "calibration_ratio", ".3f")
_VALUE_COLUMNS = (
    ("skill %", "skill", ".2f"),
    ("MAE", "mae", ".4g"),
    ("relative MAE", "relative_mae", ".3f"),
    ("RMSE", "rmse", ".4g"),
    ("R²", "r2", ".4f"),
    ("XAUC", "xauc", ".4f"),
    ("predicted / observed", "calibration_ratio", ".3f"),
)
_OUTCOME_WORDS = {
    "PROMOTE": "Promote: every rule holds.",
    "HOLD": "Hold: the version is registered and not promoted.",
    "ERROR": "Error: a rule cannot be computed, so the version is not promoted.",
}


def report_page(
    decision: Decision,
    evaluation: Evaluation,
    curves: TaskCurves,
    snapshot: Snapshot,
    validation: ValidationResultFile,
    config: RecapConfig,
) -> str:
    """The whole page. A slice with fewer positives of a task than the gate judges tells little, and comes last."""
    populations, min_positives = config.populations(), config.evaluation.gate.min_positives
    against = f"against version {decision.champion.version}" if decision.champion else "without a champion"
    lead = (
        f"{_OUTCOME_WORDS[decision.outcome]} {decision.reason[:1].upper()}{decision.reason[1:]}. "
        f"{evaluation.rows:,} test rows{_user_count(evaluation)}, {against}; "
        f"data of {snapshot.first_day} to {snapshot.last_day}."
    )
    return render(
        "components.evaluate.report/page.html",
        title=f"{decision.outcome}: {snapshot.first_day} to {snapshot.last_day}",
        lead=lead,
        rules=_rule_table(decision),
        tasks=tasks_of(evaluation.tasks),
        metrics=_task_metrics(evaluation, populations),
        more_metrics=_more_metrics(evaluation, populations),
        meanings=meanings(
            "AUC",
            "log loss",
            "RCE",
            "bounds",
            "GAUC",
            "PR AUC",
            "NRCE",
            "Brier",
            "slope, intercept",
            "debiased ECE",
            "NDCG",
        ),
        sections=[
            *_value_metrics(evaluation, populations),
            *_list_metrics(evaluation),
            *_slice_metrics(evaluation, min_positives, populations),
        ],
        curves={task: _charts(found) for task, found in curves.items() if found},
        drifts=list(drift_sections(validation)),
        lineage=_lineage(decision, snapshot, validation, config),
    )


def _user_count(evaluation: Evaluation) -> str:
    return "" if evaluation.users is None else f" of {evaluation.users:,} users"


def _rule_table(decision: Decision) -> Table:
    order = {"error": 0, "fail": 1, "pass": 2, "skipped": 3}
    rules = sorted(decision.rules, key=lambda rule: order[rule.status])
    return Table(("rule", "status", "in words"), [(rule.name, rule.status, rule.words) for rule in rules])


def _task_metrics(evaluation: Evaluation, populations: Mapping[str, str]) -> Table:
    compared = any(found.champion for found in evaluation.tasks.values())
    columns = ["task", "positives", "rate"]
    for title, _, _ in (*_COLUMNS, _RATIO):
        columns += [title, "champion"] if compared else [title]
    columns += ["RCE change, bounds"] if compared else ["RCE bounds"]
    rows = []
    for task, found in evaluation.tasks.items():
        row: list[object] = [
            within_family(task, evaluation.tasks, populations),
            f"{found.positives:,}",
            figure(found.rate, ".2e"),
        ]
        for _, name, style in (*_COLUMNS, _RATIO):
            row.append(figure(getattr(found, name), style))
            if compared:
                row.append(figure(getattr(found.champion, name, None), style))
        interval = (found.difference or found).interval.rce
        row.append("…".join(f"{bound:+.2f}" for bound in interval) if interval else "–")
        rows.append(row)
    return Table(columns, rows)


def _more_metrics(evaluation: Evaluation, populations: Mapping[str, str]) -> Table:
    """The other metrics of the candidate, with the bounds of AUC, and why one is not defined."""
    columns = [
        "task",
        "AUC bounds",
        "GAUC",
        "PR AUC",
        "NRCE",
        "Brier",
        "slope",
        "intercept",
        "debiased ECE",
        "not defined",
    ]
    rows = []
    for task, found in evaluation.tasks.items():
        interval = found.interval.auc
        reasons = sorted(set(found.undefined.values()))
        rows.append(
            [
                within_family(task, evaluation.tasks, populations),
                "…".join(f"{bound:.4f}" for bound in interval) if interval else "–",
                figure(found.gauc, ".4f"),
                figure(found.pr_auc, ".4f"),
                figure(found.nrce, ".2f"),
                figure(found.brier, ".5f"),
                figure(found.calibration_slope, ".3f"),
                figure(found.calibration_intercept, "+.3f"),
                figure(found.ece, ".5f"),
                "; ".join(reasons) or "–",
            ]
        )
    return Table(columns, rows)


def _value_metrics(evaluation: Evaluation, populations: Mapping[str, str]) -> Iterator[Section]:
    """Value tasks beside the champion, and each one's calibration by decile."""
    if not evaluation.values:
        return
    compared = any(measured.champion for measured in evaluation.values.values())
    columns = ["task", "rows", "mean"]
    for title, _, _ in _VALUE_COLUMNS:
        columns += [title, "champion"] if compared else [title]
    columns += ["skill change, bounds"] if compared else ["skill bounds"]
    rows: list[list[object]] = []
    for task, measured in evaluation.values.items():
        row: list[object] = [
            within_family(task, evaluation.values, populations),
            f"{measured.rows:,}",
            figure(measured.mean, ".4g"),
        ]
        for _, name, style in _VALUE_COLUMNS:
            row.append(figure(getattr(measured, name), style))
            if compared:
                row.append(figure(getattr(measured.champion, name, None), style))
        interval = (measured.difference or measured).interval.skill
        row.append("…".join(f"{bound:+.2f}" for bound in interval) if interval else "–")
        rows.append(row)
    words = (
        "Skill: per cent of the best constant's deviance, of the task's loss, that the predictions save. XAUC: of "
        "two rows, how often the one with the larger label has the larger prediction."
    )
    yield Section("Values", [words], Table(columns, rows))
    for task, measured in evaluation.values.items():
        deciles = [
            (f"{number}", f"{one.weight:,.0f}", f"{one.predicted:.4g}", f"{one.observed:.4g}")
            for number, one in enumerate(measured.deciles, 1)
        ]
        if deciles:
            name = within_family(task, evaluation.values, populations)
            title = f"{name}: calibration by decile of the prediction"
            yield Section(title, [], Table(("decile", "weight", "mean prediction", "mean label"), deciles))


def _list_metrics(evaluation: Evaluation) -> Iterator[Section]:
    """Ranking metrics of the weighted score."""
    found = evaluation.lists
    if found.undefined:
        return
    columns = ["model", f"NDCG@{found.k}", f"mean engagement of the top {found.k}"]
    models = {"candidate": found} | ({"champion": found.champion} if found.champion else {})
    rows = [(name, figure(one.ndcg, ".4f"), figure(one.mean_gain, ".4f")) for name, one in models.items()]
    title = f"The weighted score, {found.lists:,} lists by {found.by or ''}"
    changed = found.top_k_change
    words = [] if changed is None else [f"{changed:.1%} of the top rows are not among the champion's."]
    yield Section(title, words, Table(columns, rows))


def _slice_metrics(
    evaluation: Evaluation, min_positives: int, populations: Mapping[str, str]
) -> Iterator[Section]:
    """Slices with the largest loss against the champion first, or of the lowest RCE; those of few positives last."""
    rows: list[tuple[bool, float, str, str, TaskMetrics | ValueTaskMetrics]] = []
    for name, inside in evaluation.slices.items():
        measured: dict[str, TaskMetrics | ValueTaskMetrics] = {**inside.tasks, **inside.values}
        for task, found in measured.items():
            harm, _ = found.gain_change if found.difference else (found.gain, None)
            if harm is not None:
                rows.append((found.positives < min_positives, harm, name, task, found))
    if not rows:
        return
    rows.sort(key=lambda row: row[:2])
    gain = "RCE or skill" if evaluation.values else "RCE"
    order = "AUC or XAUC" if evaluation.values else "AUC"
    columns = (
        "slice",
        "task",
        "rows",
        "positives",
        order,
        f"{gain} %",
        f"{gain} change",
        "predicted / observed",
    )
    lines = [
        (
            name,
            within_family(task, (*evaluation.tasks, *evaluation.values), populations),
            f"{found.rows:,}",
            f"{found.positives:,}",
            figure(found.order, ".4f"),
            figure(found.gain, ".2f"),
            figure(found.gain_change[0], "+.2f") if found.difference else "–",
            figure(found.calibration_ratio, ".3f"),
        )
        for _, _, name, task, found in rows
    ]
    few = f"; under {min_positives} positives, which tell little, last" if any(row[0] for row in rows) else ""
    yield Section(f"Slices, the worst first{few}", table=Table(columns, lines))


def _charts(found: dict[str, Curves]) -> list[Chart]:
    """A task's charts: reliability, ROC, precision and recall, predictions."""
    reliable = []
    for name, curves in found.items():
        rates, observed = curves.reliability
        reliable.append(Series(name, rates, observed))
    fraction = Axis("false positives", low=0.0, high=1.0)
    roc = [Series(name, *curves.roc) for name, curves in found.items()]
    recall = [Series(name, *curves.precision) for name, curves in found.items()]
    spread = [Series(name, *curves.predictions) for name, curves in found.items()]
    return [
        reliability_chart("Reliability", reliable, scale="linear"),
        line_chart(
            "ROC",
            roc,
            fraction,
            replace(fraction, label="true positives"),
            rules=[Rule("a guess", axis="diagonal")],
        ),
        line_chart(
            "Precision and recall", recall, replace(fraction, label="recall"), Axis("precision", low=0.0)
        ),
        line_chart("Predictions", spread, Axis("log odds"), Axis("fraction of rows", low=0.0)),
    ]


def _lineage(
    decision: Decision, snapshot: Snapshot, validation: ValidationResultFile, config: RecapConfig
) -> Table:
    champion = f"{decision.champion.name} {decision.champion.version}" if decision.champion else "none"
    return Table(
        ("what", "which"),
        [
            ("run", decision.run_id),
            ("data", f"{snapshot.rows:,} rows of {snapshot.data_root}"),
            ("validation", OUTCOMES_IN_WORDS[validation.verdict]),
            ("snapshot", decision.snapshot[:16]),
            ("test rows", decision.test_data[:16]),
            ("candidate", decision.candidate[:16]),
            ("champion", champion),
            ("policy", decision.policy[:16]),
            ("config", snapshot.config_digest[:16]),
            *((f"label of {task}", words) for task, words in config.derived_labels().items()),
            ("source", snapshot.source_revision),
            ("decision", decision.digest[:16]),
        ],
    )
