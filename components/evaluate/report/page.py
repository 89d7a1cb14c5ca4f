"""The evaluation as one page: the decision first, then each task beside the champion, slices, drift, lineage."""

from collections.abc import Sequence
from html import escape

from components.common.artifacts.decision import Decision
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import OUTCOMES_IN_WORDS, ValidationResultFile
from components.common.html.glossary import legend
from components.common.html.page import Axis, Series, line_chart, linear_axis, page, table
from components.common.html.task_labels import tasks_of, within_family
from components.evaluate.metrics.curves import Curves
from components.evaluate.metrics.task_metrics import TaskCurves
from components.evaluate.report.drift import drift_sections

_TWO_SIDED_95 = 1.96
_SHARES = Axis("", 0.0, 1.0, [(tick, f"{tick:g}") for tick in (0.0, 0.25, 0.5, 0.75, 1.0)])
_COLUMNS = (("AUC", "auc", ".4f"), ("log loss", "log_loss", ".5f"), ("RCE %", "rce", ".2f"))
_RATIO = ("predicted / observed", "calibration_ratio", ".3f")
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
    verdict: ValidationResultFile,
    min_positives: int,
) -> str:
    """The whole page. A slice with fewer than ``min_positives`` of a task tells little of it, and comes last."""
    against = f"against version {decision.champion.version}" if decision.champion else "without a champion"
    lead = (
        f"{_OUTCOME_WORDS[decision.outcome]} {decision.reason[:1].upper()}{decision.reason[1:]}. "
        f"{evaluation.rows:,} test rows{_of_users(evaluation)}, {against}; "
        f"data of {snapshot.first_day} to {snapshot.last_day}."
    )
    return page(
        f"{decision.outcome}: {snapshot.first_day} to {snapshot.last_day}",
        lead,
        "<h2>Rules</h2>",
        _rules(decision),
        f"<h2>{escape(tasks_of(evaluation.tasks))}</h2>",
        _tasks(evaluation),
        _more(evaluation),
        legend(
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
        *_lists(evaluation),
        *_slices(evaluation, min_positives),
        *(_task_charts(task, found) for task, found in curves.items()),
        *drift_sections(verdict),
        "<h2>Lineage</h2>",
        _lineage(decision, snapshot, verdict),
    )


def _of_users(evaluation: Evaluation) -> str:
    return "" if evaluation.users is None else f" of {evaluation.users:,} users"


def _rules(decision: Decision) -> str:
    order = {"error": 0, "fail": 1, "pass": 2, "skipped": 3}
    rules = sorted(decision.rules, key=lambda rule: order[rule.verdict])
    return table(("rule", "verdict", "in words"), [(rule.name, rule.verdict, rule.words) for rule in rules])


def _tasks(evaluation: Evaluation) -> str:
    compared = any(found.champion for found in evaluation.tasks.values())
    columns = ["task", "positives", "rate"]
    for title, _, _ in (*_COLUMNS, _RATIO):
        columns += [title, "champion"] if compared else [title]
    columns += ["RCE change, bounds"] if compared else ["RCE bounds"]
    rows = []
    for task, found in evaluation.tasks.items():
        row: list[object] = [
            within_family(task, evaluation.tasks),
            f"{found.positives:,}",
            _text(found.rate, ".2e"),
        ]
        for _, name, style in (*_COLUMNS, _RATIO):
            row.append(_text(getattr(found, name), style))
            if compared:
                row.append(_text(getattr(found.champion, name, None), style))
        interval = (found.difference or found).interval.rce
        row.append("…".join(f"{bound:+.2f}" for bound in interval) if interval else "–")
        rows.append(row)
    return table(columns, rows)


def _more(evaluation: Evaluation) -> str:
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
                within_family(task, evaluation.tasks),
                "…".join(f"{bound:.4f}" for bound in interval) if interval else "–",
                _text(found.gauc, ".4f"),
                _text(found.pr_auc, ".4f"),
                _text(found.nrce, ".2f"),
                _text(found.brier, ".5f"),
                _text(found.calibration_slope, ".3f"),
                _text(found.calibration_intercept, "+.3f"),
                _text(found.ece, ".5f"),
                "; ".join(reasons) or "–",
            ]
        )
    return table(columns, rows)


def _lists(evaluation: Evaluation) -> list[str]:
    """What the weighted score does to the lists that are shown."""
    found = evaluation.lists
    if found.undefined:
        return []
    columns = ["model", f"NDCG@{found.k}", f"mean engagement of the top {found.k}"]
    models = {"candidate": found} | ({"champion": found.champion} if found.champion else {})
    rows = [(name, _text(one.ndcg, ".4f"), _text(one.mean_gain, ".4f")) for name, one in models.items()]
    title = f"<h2>The weighted score, {found.lists:,} lists by {escape(found.by or '')}</h2>"
    changed = found.top_k_change
    words = "" if changed is None else f"<p>{changed:.1%} of the top rows are others than the champion's.</p>"
    return [title, table(columns, rows), words]


def _slices(evaluation: Evaluation, min_positives: int) -> list[str]:
    """Slices with the largest loss against the champion first, or of the lowest RCE; those of few positives last."""
    rows = []
    for name, inside in evaluation.slices.items():
        for task, found in inside.tasks.items():
            harm = found.difference.rce if found.difference else found.rce
            if harm is not None:
                rows.append((found.positives < min_positives, harm, name, task, found))
    if not rows:
        return []
    rows.sort(key=lambda row: row[:2])
    columns = ("slice", "task", "rows", "positives", "AUC", "RCE %", "RCE change", "predicted / observed")
    lines = [
        (
            name,
            within_family(task, evaluation.tasks),
            f"{found.rows:,}",
            f"{found.positives:,}",
            _text(found.auc, ".4f"),
            _text(found.rce, ".2f"),
            _text(found.difference.rce, "+.2f") if found.difference else "–",
            _text(found.calibration_ratio, ".3f"),
        )
        for _, _, name, task, found in rows
    ]
    few = f"; under {min_positives} positives, which tell little, last" if any(row[0] for row in rows) else ""
    return [f"<h2>Slices, the worst first{few}</h2>", table(columns, lines)]


def _task_charts(task: str, found: dict[str, Curves]) -> str:
    if not found:
        return ""
    reliable = []
    if "candidate" in found:
        places, _ = found["candidate"].reliability
        chance = [_TWO_SIDED_95 * error for error in found["candidate"].chance]
        reliable.append(Series("as predicted, by chance 95 %", places, places, colour=None, spread=chance))
    colours = list(enumerate(found.items()))
    reliable += [
        Series(name, *curves.reliability, colour=colour, markers=True) for colour, (name, curves) in colours
    ]
    roc = [Series(name, *curves.roc, colour=colour) for colour, (name, curves) in colours]
    recall = [Series(name, *curves.precision, colour=colour) for colour, (name, curves) in colours]
    spread = [Series(name, *curves.predictions, colour=colour) for colour, (name, curves) in colours]
    charts = [_reliability(task, reliable)]
    diagonal = Series("chance", [0.0, 1.0], [0.0, 1.0], colour=None)
    charts.append(line_chart("ROC", [diagonal, *roc], _named("false positives"), _named("true positives")))
    charts.append(line_chart("Precision and recall", recall, _named("recall"), _named("precision")))
    highest = max(max(one.y) for one in spread)
    odds = linear_axis("log odds", [place for one in spread for place in one.x])
    charts.append(line_chart("Predictions", spread, odds, linear_axis("share of rows", [0.0, highest])))
    return f'<h2>{escape(task)}</h2><div class="charts">{"".join(charts)}</div>'


def _reliability(task: str, series: Sequence[Series]) -> str:
    top = max(max([*one.x, *one.y]) for one in series) * 1.05 or 1.0
    ticks = [(top * share, f"{top * share:.3g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    diagonal = Series("as predicted", [0.0, top], [0.0, top], colour=None)
    x, y = Axis("predicted", 0.0, top, ticks), Axis("observed", 0.0, top, ticks)
    return line_chart("Reliability", [diagonal, *series], x, y)


def _named(label: str) -> Axis:
    return Axis(label, _SHARES.low, _SHARES.high, _SHARES.ticks)


def _lineage(decision: Decision, snapshot: Snapshot, verdict: ValidationResultFile) -> str:
    champion = f"{decision.champion.name} {decision.champion.version}" if decision.champion else "none"
    return table(
        ("what", "which"),
        [
            ("run", decision.run_id),
            ("data", f"{snapshot.rows:,} rows of {snapshot.data_root}"),
            ("validation", OUTCOMES_IN_WORDS[verdict.verdict]),
            ("snapshot", decision.snapshot[:16]),
            ("test rows", decision.test_data[:16]),
            ("candidate", decision.candidate[:16]),
            ("champion", champion),
            ("policy", decision.policy[:16]),
            ("config", snapshot.config_digest[:16]),
            ("source", snapshot.source_revision),
            ("decision", decision.digest[:16]),
        ],
    )


def _text(value: float | None, style: str) -> str:
    return "–" if value is None else f"{value:{style}}"
