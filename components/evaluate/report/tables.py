"""The page's tables: rules, metrics of tasks and slices, ranked lists, lineage."""

from collections.abc import Mapping, Sequence

from components.common.artifacts.decision import Decision, Rule
from components.common.artifacts.evaluation import Evaluation, TaskMetrics, ValueTaskMetrics
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import OUTCOMES_IN_WORDS, ValidationResultFile
from components.common.html.glossary import column
from components.common.html.numbers import format_bounds, format_number, format_rate, rate_error
from components.common.html.tables import Cell, Column, Table
from components.common.html.task_labels import within_family
from components.evaluate.report.comparison import Comparison
from recap_model.config import RecapConfig

_MAX_SLICE_ROWS, _MAX_RULES = 500, 300
_STATUSES = {
    "error": ("✕ cannot be computed", "bad"),
    "fail": ("✕ fails", "bad"),
    "warning": ("! look at it", "bad"),
    "pass": ("✓ passes", "good"),
    "skipped": ("not judged", ""),
}
_FAILING = ("error", "fail", "warning")
# Title, unit, field of the metrics, field whose bootstrap error sets the digits.
_METRICS = (
    ("AUC", "", "auc", "auc"),
    ("log loss", "nats", "log_loss", "log_loss"),
    ("RCE", "%", "rce", "rce"),
    ("predicted / observed", "", "calibration_ratio", "calibration_ratio"),
)
_MORE_METRICS = (
    ("GAUC", "", "gauc", "auc"),
    ("PR AUC", "", "pr_auc", "auc"),
    ("NRCE", "%", "nrce", "rce"),
    ("Brier", "", "brier", "log_loss"),
    ("slope", "", "calibration_slope", "calibration_ratio"),
    ("intercept", "log odds", "calibration_intercept", "calibration_ratio"),
    ("debiased ECE", "", "ece", ""),
)
_VALUE_METRICS = (
    ("skill", "%", "skill", "skill"),
    ("MAE", "", "mae", "mae"),
    ("relative MAE", "", "relative_mae", "calibration_ratio"),
    ("RMSE", "", "rmse", "mae"),
    ("R²", "", "r2", "calibration_ratio"),
    ("XAUC", "", "xauc", "calibration_ratio"),
    ("predicted / observed", "", "calibration_ratio", "calibration_ratio"),
)

Measured = TaskMetrics | ValueTaskMetrics


def rule_tables(decision: Decision) -> tuple[tuple[str, Table] | None, tuple[str, Table] | None]:
    """The rules that do not hold, and the others, with a title each; of many, `decision.json` has the rest."""
    order = list(_STATUSES)
    rules = sorted(decision.rules, key=lambda rule: order.index(rule.status))
    failing = [rule for rule in rules if rule.status in _FAILING]
    holding = [rule for rule in rules if rule.status not in _FAILING]
    return _rule_table(failing, "needing attention"), _rule_table(holding, "holding or not judged")


def _rule_table(rules: Sequence[Rule], what: str) -> tuple[str, Table] | None:
    if not rules:
        return None
    order = list(_STATUSES)
    columns = (
        Column("rule", help="as in docs/report.md and in evaluation.gate"),
        Column("status", help="a rule that cannot be computed is no pass"),
        Column("in words", help="what was measured, and what is allowed"),
    )
    rows = []
    for rule in rules[:_MAX_RULES]:
        text, tone = _STATUSES[rule.status]
        rows.append((rule.name, Cell(text, order.index(rule.status), tone), rule.words))
    more = f", the first {_MAX_RULES}" if len(rules) > _MAX_RULES else ""
    return f"{len(rules):,} {what}{more}", Table(columns, rows)


def metric_tables(evaluation: Evaluation, config: RecapConfig) -> list[tuple[str, Table]]:
    """Two tables of binary tasks and one of value tasks, each metric beside the champion's."""
    tables = []
    if evaluation.tasks:
        first = (column("positives", "rows"), column("rate"))
        tables.append(("Metrics of each task", _metrics(evaluation.tasks, _METRICS, first, config)))
        tables.append(("More metrics of each task", _metrics(evaluation.tasks, _MORE_METRICS, (), config)))
    if evaluation.values:
        first = (column("rows"), column("mean label"))
        tables.append(("Metrics of values", _metrics(evaluation.values, _VALUE_METRICS, first, config)))
    return tables


def _metrics(
    measured: Mapping[str, Measured],
    metrics: Sequence[tuple[str, str, str, str]],
    first: Sequence[Column],
    config: RecapConfig,
) -> Table:
    compared = any(one.champion for one in measured.values())
    columns = [Column("task"), *first]
    for title, unit, _, _ in metrics:
        columns.append(column(title, unit))
        if compared:
            columns.append(Column("champion", unit, f"the champion's {title} on the same rows"))
        if title == "AUC":
            columns.append(column("AUC bounds"))
    columns.append(Column("not defined", help="why a metric, or a bound, has no value"))
    rows = []
    for task, one in measured.items():
        row: list[object] = [within_family(task, config.tasks, config.populations())]
        if first:
            row += _format_level(one)
        for title, _, name, error_name in metrics:
            error = getattr(one.error, error_name, None) if error_name else None
            row.append(Cell(format_number(getattr(one, name), error), getattr(one, name)))
            if compared:
                other = getattr(one.champion, name, None)
                row.append(Cell(format_number(other, error), other))
            if title == "AUC":
                interval = one.interval.auc if isinstance(one, TaskMetrics) else None
                row.append(format_bounds(*interval, error) if interval else "–")
        row.append("; ".join(sorted(set(one.undefined.values()))) or "–")
        rows.append(row)
    return Table(columns, rows)


def _format_level(measured: Measured) -> tuple[str, str]:
    """How many positives and their rate, or how many rows and their mean label."""
    if isinstance(measured, ValueTaskMetrics):
        return f"{measured.rows:,}", format_number(measured.mean)
    rate, rows = measured.rate, measured.rows
    return f"{measured.positives:,}", format_rate(rate, None if rate is None else rate_error(rate, rows))


def difference_table(comparisons: Sequence[Comparison], config: RecapConfig, is_compared: bool) -> Table:
    """Each task of each slice with its counts, the worst first; of many, `metrics.json` has the others."""
    gain = "RCE or skill" + (" difference" if is_compared else "")
    columns = (
        Column("slice"),
        Column("task"),
        column("rows"),
        column("positives", "rows"),
        Column(
            gain, "points", "percent of the best constant's loss that predictions save, less the champion's"
        ),
        column("bounds", "points"),
        Column("AUC or XAUC", "", "chance that the row with the larger label is scored above the other"),
        column("predicted / observed"),
        Column("in words"),
    )
    rows = [
        (
            one.slice_name,
            within_family(one.task, config.tasks),
            f"{one.measured.rows:,}",
            f"{one.measured.positives:,}",
            Cell(format_number(one.change, one.error, signed=True), one.change, _visible(one.tone)),
            format_bounds(*one.bounds, one.error, signed=True) if one.bounds else "–",
            Cell(format_number(one.measured.order, _order_error(one.measured)), one.measured.order),
            format_number(one.measured.calibration_ratio, one.measured.error.calibration_ratio),
            one.note,
        )
        for one in comparisons[:_MAX_SLICE_ROWS]
    ]
    return Table(columns, rows)


def _visible(tone: str) -> str:
    return "" if tone == "plain" else tone


def _order_error(measured: Measured) -> float | None:
    return measured.error.auc if isinstance(measured, TaskMetrics) else measured.error.calibration_ratio


def list_table(evaluation: Evaluation) -> Table | None:
    """Ranking metrics of the weighted score; None where they are not defined."""
    lists = evaluation.lists
    if lists.undefined:
        return None
    models = {"candidate": lists} | ({"champion": lists.champion} if lists.champion else {})
    columns = (
        Column("model"),
        column(f"NDCG@{lists.k}"),
        Column(f"mean engagement of the top {lists.k}", help="score weights times labels, a row's mean"),
    )
    rows = [(name, format_number(one.ndcg), format_number(one.mean_gain)) for name, one in models.items()]
    return Table(columns, rows)


def lineage_table(
    decision: Decision, snapshot: Snapshot, validation: ValidationResultFile, config: RecapConfig
) -> Table:
    """What identifies the run."""
    champion = f"{decision.champion.name} {decision.champion.version}" if decision.champion else "none"
    rows = [
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
    ]
    return Table(("what", "which"), rows)
