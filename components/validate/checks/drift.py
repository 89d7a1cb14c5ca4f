"""A comparison as tables and rules: is a column, a task or a day as in the reference?"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.rules import BOTH_SIDES, Row, Rule, Words
from components.validate.drift.column import Change
from components.validate.drift.compare import WINDOW, Comparison, Level
from components.validate.drift.metrics import METRIC_OF_NAME
from components.validate.result import Kind
from recap_model.config import RecapConfig
from recap_model.config.drift import DriftRule, Severity

_NEAR_A_POWER = 0.05


def drift_frames(kind: Kind, found: Comparison) -> dict[str, pd.DataFrame]:
    """The tables that `drift_rules` are held to, by name."""
    rows = {
        "columns": list(_columns(found.changes)),
        "rates": list(_levels(found.rates)),
        "nulls": list(_levels(found.nulls)),
        "rows": list(_levels(found.rows)),
    }
    return {f"{kind}:{name}": pd.DataFrame(items) for name, items in rows.items()}


def drift_rules(
    kind: Kind, against: str, found: Comparison, snapshot: Snapshot, config: RecapConfig
) -> list[Rule]:
    """Rules on the tables that have rows; ``against`` names the reference."""
    window = f"{snapshot.first_day} to {snapshot.last_day}"
    chosen = config.validation.drift.severity

    def severity(name: DriftRule) -> Severity:
        return chosen.get(name, "warning")

    def place(row: Row) -> str:
        return window if row["where"] == WINDOW else str(row["where"])

    def moved(row: Row) -> Words:
        return _moved(row, against, place(row))

    def missing(row: Row) -> Words:
        observed = f"has {row['missing_now']:.1%} missing values, {against} {row['missing_then']:.1%},"
        allowed = (
            f"a change of {row['missing_allowed']:.1%} (validation.drift.max_missing_rate_change and chance)"
        )
        return Words(f"column {row['column']}", observed, place(row), allowed, "look at the column's source")

    def rate(row: Row) -> Words:
        observed = f"has a positive rate of {row['value']:.4g}, {against} {row['usual']:.4g},"
        between = f"{max(row['lowest'], 0.0):.4g} to {row['highest']:.4g}"
        allowed = f"{between} (validation.drift.max_positive_rate_change and chance)"
        return Words(f"task {row['subject']}", observed, place(row), allowed, "look at the labels' source")

    def unlabelled(row: Row) -> Words:
        observed = f"has no label in {row['value']:.1%} of rows, {against} {row['usual']:.1%},"
        between = f"{max(row['lowest'], 0.0):.1%} to {min(row['highest'], 1.0):.1%}"
        allowed = f"{between} (validation.drift.max_missing_rate_change and chance)"
        return Words(f"task {row['subject']}", observed, place(row), allowed, "look at the labels' source")

    def volume(row: Row) -> Words:
        observed = f"has {row['value']:,} rows, a day of {against} {row['usual']:,.0f}"
        allowed = (
            f"{max(row['lowest'], 0.0):,.0f} to {row['highest']:,.0f} (validation.drift.max_rows_change)"
        )
        advice = "look whether rows are there twice, or lost"
        return Words(row["subject"], observed, "", allowed, advice)

    columns: DriftRule = "column_drift" if kind == "drift" else "column_skew"
    absent: DriftRule = "missing_rate_drift" if kind == "drift" else "missing_rate_skew"
    levels: tuple[tuple[DriftRule, str, Callable[[Row], Words]], ...] = (
        ("task_rate_drift", "rates", rate),
        ("task_null_rate_drift", "nulls", unlabelled),
        ("partition_rows_drift", "rows", volume),
    )
    frame = f"{kind}:columns"
    rules = []
    if found.changes:
        rules += [
            Rule(absent, severity(absent), frame, "source", "missing", "at most", "missing_allowed", missing),
            Rule(columns, severity(columns), frame, "source", "excess", "at most", "most", moved),
        ]
    for name, table, say in levels:
        if getattr(found, table):
            rules += [
                Rule(name, severity(name), f"{kind}:{table}", "subject", "value", sense, bound, say)
                for sense, bound in BOTH_SIDES
            ]
    return rules


def _columns(changes: list[Change]) -> Iterator[dict[str, Any]]:
    beyond = Counter(change.column for change in changes if change.excess > 1.0 and change.where != WINDOW)
    for change in changes:
        yield {
            "column": change.column,
            "source": change.source,
            "where": change.where,
            "excess": min(change.excess, 1e300),
            "most": 1.0,
            "change": change,
            "days": beyond[change.column],
            "missing": change.found["missing"],
            "missing_allowed": change.allowed["missing"],
            "missing_then": change.missing[0],
            "missing_now": change.missing[1],
        }


def _levels(levels: list[Level]) -> Iterator[dict[str, Any]]:
    for level in levels:
        yield {
            "subject": level.subject,
            "where": level.where,
            "value": level.value,
            "usual": level.usual,
            "lowest": level.lowest,
            "highest": level.highest,
        }


def _moved(row: Row, against: str, where: str) -> Words:
    change: Change = row["change"]
    metric = METRIC_OF_NAME[change.worst]
    value, allowed = change.found[metric.name], change.allowed[metric.name]
    observed = f"is not as in {against}: {metric.sentence.format(value)}{_details(change)},"
    days = row["days"] - (change.where != WINDOW)
    more = f" and {days} more day{'s' * (days > 1)}" if days > 0 and change.where != WINDOW else ""
    more = f", on {days} of its days" if days > 0 and change.where == WINDOW else more
    said = f"at most {allowed:.3g} (validation.drift.{metric.bound} and chance)"
    return Words(f"column {change.column}", observed, where + more, said, _advice(change))


def _details(change: Change) -> str:
    if change.gone:
        return f" ({change.gone})"
    then, now = change.means
    return f", mean {now:.4g} instead of {then:.4g}" if math.isfinite(then) and math.isfinite(now) else ""


def _advice(change: Change) -> str:
    then, now = change.means
    usual = "look at its source, or list it in validation.drift.ignore"
    if not (math.isfinite(then) and math.isfinite(now)) or then * now <= 0.0:
        return usual
    power = math.log10(now / then)
    if abs(power) < 1.5 or abs(power - round(power)) > _NEAR_A_POWER:
        return usual
    size = f"{10 ** abs(round(power)):,}"
    return (
        f"its values are {size} times as {'large' if power > 0 else 'small'}: look whether its unit changed"
    )
