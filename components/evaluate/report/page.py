"""The evaluation as one page: the decision first, then each task beside the champion, slices, drift, lineage."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.decision import Decision
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import OUTCOMES_IN_WORDS, VerdictFile
from components.common.html.glossary import legend
from components.common.html.page import Axis, Series, line_chart, linear_axis, page, table
from components.common.html.task_labels import tasks_of, within_family
from components.evaluate.metrics.accumulate import EVERYTHING, Tally
from components.evaluate.report.drift import drift_sections
from recap_model import metrics

_MAX_POINTS = 200
_MODELS = ("candidate", "champion")
_MIN_CLASS_ROWS = 2
_TWO_SIDED_95 = 1.96
_WIDEST_LOGIT, _HISTOGRAM_BINS = 16.0, 128
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
    measured: dict[str, Any],
    tally: Tally,
    snapshot: Snapshot,
    verdict: VerdictFile,
    min_positives: int,
) -> str:
    """The whole page. A slice with fewer than ``min_positives`` of a task tells little of it, and comes last."""
    against = f"against version {decision.champion.version}" if decision.champion else "without a champion"
    lead = (
        f"{_OUTCOME_WORDS[decision.outcome]} {decision.reason[:1].upper()}{decision.reason[1:]}. "
        f"{measured['rows']:,} test rows{_of_users(measured)}, {against}; "
        f"data of {snapshot.first_day} to {snapshot.last_day}."
    )
    return page(
        f"{decision.outcome}: {snapshot.first_day} to {snapshot.last_day}",
        lead,
        "<h2>Rules</h2>",
        _rules(decision),
        f"<h2>{escape(tasks_of(measured['tasks']))}</h2>",
        _tasks(measured),
        _more(measured),
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
        *_lists(measured),
        *_slices(measured, min_positives),
        *(_task_charts(task, tally) for task in measured["tasks"]),
        *drift_sections(verdict),
        "<h2>Lineage</h2>",
        _lineage(decision, snapshot, verdict),
    )


def _of_users(measured: dict[str, Any]) -> str:
    return "" if measured["users"] is None else f" of {measured['users']:,} users"


def _rules(decision: Decision) -> str:
    order = {"error": 0, "fail": 1, "pass": 2, "skipped": 3}
    rules = sorted(decision.rules, key=lambda rule: order[rule.verdict])
    return table(("rule", "verdict", "in words"), [(rule.name, rule.verdict, rule.words) for rule in rules])


def _tasks(measured: dict[str, Any]) -> str:
    compared = any("champion" in found for found in measured["tasks"].values())
    columns = ["task", "positives", "rate"]
    for title, _, _ in (*_COLUMNS, _RATIO):
        columns += [title, "champion"] if compared else [title]
    columns += ["RCE change, bounds"] if compared else ["RCE bounds"]
    rows = []
    for task, found in measured["tasks"].items():
        row: list[object] = [
            within_family(task, measured["tasks"]),
            f"{found['positives']:,}",
            _text(found["rate"], ".2e"),
        ]
        for _, name, style in (*_COLUMNS, _RATIO):
            row.append(_text(found[name], style))
            if compared:
                row.append(_text(found["champion"][name], style))
        interval = (found["difference"] if compared else found)["interval"]["rce"]
        row.append("…".join(f"{bound:+.2f}" for bound in interval) if interval else "–")
        rows.append(row)
    return table(columns, rows)


def _more(measured: dict[str, Any]) -> str:
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
    for task, found in measured["tasks"].items():
        interval = found["interval"]["auc"]
        reasons = sorted(set(found["undefined"].values()))
        rows.append(
            [
                within_family(task, measured["tasks"]),
                "…".join(f"{bound:.4f}" for bound in interval) if interval else "–",
                _text(found["gauc"], ".4f"),
                _text(found["pr_auc"], ".4f"),
                _text(found["nrce"], ".2f"),
                _text(found["brier"], ".5f"),
                _text(found["calibration_slope"], ".3f"),
                _text(found["calibration_intercept"], "+.3f"),
                _text(found["ece"], ".5f"),
                "; ".join(reasons) or "–",
            ]
        )
    return table(columns, rows)


def _lists(measured: dict[str, Any]) -> list[str]:
    """What the weighted score does to the lists that are shown."""
    found = measured["lists"]
    if "undefined" in found:
        return []
    columns = ["model", f"NDCG@{found['k']}", f"mean engagement of the top {found['k']}"]
    models = {"candidate": found} | ({"champion": found["champion"]} if "champion" in found else {})
    rows = [(name, _text(one["ndcg"], ".4f"), _text(one["mean_gain"], ".4f")) for name, one in models.items()]
    title = f"<h2>The weighted score, {found['lists']:,} lists by {escape(found['by'])}</h2>"
    changed = found.get("top_k_change")
    words = "" if changed is None else f"<p>{changed:.1%} of the top rows are others than the champion's.</p>"
    return [title, table(columns, rows), words]


def _slices(measured: dict[str, Any], min_positives: int) -> list[str]:
    """Slices with the largest loss against the champion first, or of the lowest RCE; those of few positives last."""
    rows = []
    for name, inside in measured["slices"].items():
        for task, found in inside["tasks"].items():
            harm = found["difference"]["rce"] if "difference" in found else found["rce"]
            if harm is not None:
                rows.append((found["positives"] < min_positives, harm, name, task, found))
    if not rows:
        return []
    rows.sort(key=lambda row: row[:2])
    columns = ("slice", "task", "rows", "positives", "AUC", "RCE %", "RCE change", "predicted / observed")
    lines = [
        (
            name,
            within_family(task, measured["tasks"]),
            f"{found['rows']:,}",
            f"{found['positives']:,}",
            _text(found["auc"], ".4f"),
            _text(found["rce"], ".2f"),
            _text(found["difference"]["rce"], "+.2f") if "difference" in found else "–",
            _text(found["calibration_ratio"], ".3f"),
        )
        for _, _, name, task, found in rows
    ]
    few = f"; under {min_positives} positives, which tell little, last" if any(row[0] for row in rows) else ""
    return [f"<h2>Slices, the worst first{few}</h2>", table(columns, lines)]


def _task_charts(task: str, tally: Tally) -> str:
    counts = tally.tasks[EVERYTHING, task]
    if min(counts.positives, counts.rows - counts.positives) < _MIN_CLASS_ROWS:
        return ""
    keys = [(EVERYTHING, task, model) for model in _MODELS]
    found = {key[2]: tally.models[key] for key in keys if key in tally.models}
    roc, recall, reliable, spread = [], [], [], []
    for colour, (name, model) in enumerate(found.items()):
        if model.not_finite:
            continue
        label, predictions, weight, squares = model.sketch.rows()
        false, true, _ = metrics.roc_curve(label, predictions, weight)
        roc.append(Series(name, *_thin(false, true), colour=colour))
        share, precision = metrics.precision_recall_curve(label, predictions, weight)
        recall.append(Series(name, *_thin(share, precision), colour=colour))
        bins = metrics.reliability_bins(label, predictions, weight, squares)
        if name == "candidate":
            chance = (_TWO_SIDED_95 * bins.error).tolist()
            places = bins.predicted.tolist()
            reliable.append(
                Series("as predicted, by chance 95 %", places, places, colour=None, spread=chance)
            )
        reliable.append(
            Series(name, bins.predicted.tolist(), bins.observed.tolist(), colour=colour, markers=True)
        )
        spread.append(_histogram(name, predictions, weight, colour))
    if not roc:
        return ""
    charts = [_reliability(task, reliable)]
    diagonal = Series("chance", [0.0, 1.0], [0.0, 1.0], colour=None)
    charts.append(line_chart("ROC", [diagonal, *roc], _named("false positives"), _named("true positives")))
    charts.append(line_chart("Precision and recall", recall, _named("recall"), _named("precision")))
    highest = max(max(one.y) for one in spread)
    odds = linear_axis("log odds", [place for one in spread for place in one.x])
    charts.append(line_chart("Predictions", spread, odds, linear_axis("share of rows", [0.0, highest])))
    return f'<h2>{escape(task)}</h2><div class="charts">{"".join(charts)}</div>'


def _histogram(
    name: str, predictions: NDArray[np.float64], weight: NDArray[np.float64], colour: int
) -> Series:
    """The share of rows by log odds, in bins that are the same for every model and task."""
    clipped = np.clip(predictions, 1e-7, 1 - 1e-7)
    edges = np.linspace(-_WIDEST_LOGIT, _WIDEST_LOGIT, _HISTOGRAM_BINS + 1)
    logits = np.clip(np.log(clipped) - np.log1p(-clipped), edges[0], edges[-1])
    shares, _ = np.histogram(logits, edges, weights=weight)
    held = np.flatnonzero(shares)
    kept = slice(max(held[0] - 1, 0), held[-1] + 2) if len(held) else slice(None)
    middles = (edges[1:] + edges[:-1]) / 2
    return Series(
        name, middles[kept].tolist(), (shares / max(shares.sum(), 1e-300))[kept].tolist(), colour=colour
    )


def _reliability(task: str, series: Sequence[Series]) -> str:
    top = max(max([*one.x, *one.y]) for one in series) * 1.05 or 1.0
    ticks = [(top * share, f"{top * share:.3g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    diagonal = Series("as predicted", [0.0, top], [0.0, top], colour=None)
    x, y = Axis("predicted", 0.0, top, ticks), Axis("observed", 0.0, top, ticks)
    return line_chart("Reliability", [diagonal, *series], x, y)


def _named(label: str) -> Axis:
    return Axis(label, _SHARES.low, _SHARES.high, _SHARES.ticks)


def _thin(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """At most ``_MAX_POINTS`` of a curve's points, its ends among them."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MAX_POINTS)).astype(int))
    return x[kept].tolist(), y[kept].tolist()


def _lineage(decision: Decision, snapshot: Snapshot, verdict: VerdictFile) -> str:
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
