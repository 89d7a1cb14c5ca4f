"""The validation result: each rule's result, as lines and as JSON."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from components.validate.drift.compare import Drift
from recap_model.config.steps.drift import DriftRule, Severity

FORMAT = "recap-verdict/1"
MAX_LINES = 20
MAX_COLUMNS = 300

Outcome = Literal["passed", "warnings", "failed"]
ComparisonKind = Literal["drift", "skew"]
DriftState = Literal["no_baseline", "within_bounds", "drifted"]

DRIFT_RULES: dict[ComparisonKind, tuple[DriftRule, ...]] = {
    "drift": (
        "column_drift",
        "missing_rate_drift",
        "task_rate_drift",
        "task_mean_drift",
        "task_null_rate_drift",
        "partition_rows_drift",
    ),
    "skew": ("column_skew", "missing_rate_skew"),
}


class ValidationFailed(ValueError):  # noqa: N818 - the step's name for it, read by who runs the pipeline
    """The log fails critical rules: a line for each failure, the most severe first."""


@dataclass(frozen=True)
class Result:
    """A rule's result: success, or one subject that fails it.

    Attributes:
        checked: number of columns, tasks, partitions or rows that were checked.
        subject, observed, where, allowed, advice: of a failure; together they form its line.
        examples: ids and values of failing rows from the sample, capped.
        days: of a failure, the days that it is of, as ``2026-03-01``; none if it is of the window.
        population: the rows that were checked, if not all of them by the profile: "all 1,000 rows" of a custom
            expectation, "a sample of 1,000 rows".
    """

    rule: str
    severity: Severity
    success: bool
    checked: int = 0
    subject: str = ""
    observed: str = ""
    where: str = ""
    allowed: str = ""
    advice: str = ""
    examples: list[dict[str, Any]] = field(default_factory=list)
    population: str = ""
    days: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """What is wrong, where, what is allowed, what to do."""
        where = f" in {self.where}" if self.where else ""
        clauses = [f"{self.subject} {self.observed}{where}", self.allowed, self.advice]
        return f"{self.rule}: " + "; ".join(filter(None, clauses))


@dataclass(frozen=True)
class ValidationResult:
    """All results of one snapshot: failures first, critical ones before warnings.

    ``drifts`` are the comparisons with the champion's profile (drift) and the serving log (skew), or why they are
    missing. ``column_auc`` has for each task the feature columns with the highest AUC of their own, in the sample.
    """

    snapshot: str
    first_day: str
    last_day: str
    rows: int
    results: list[Result]
    drifts: dict[ComparisonKind, Drift] = field(default_factory=dict)
    column_auc: dict[str, list[tuple[str, float]]] = field(default_factory=dict)

    def drift_state(self, kind: ComparisonKind) -> DriftState:
        """ "drifted" if a rule of the comparison fails, "no_baseline" without a reference."""
        if self.drifts[kind].comparison is None:
            return "no_baseline"
        rules = DRIFT_RULES[kind]
        failed = any(item.rule in rules and not item.success for item in self.results)
        return "drifted" if failed else "within_bounds"

    def failures(self, severity: Severity) -> list[Result]:
        """The failed results of one severity."""
        return [item for item in self.results if not item.success and item.severity == severity]

    @property
    def outcome(self) -> Outcome:
        """ "failed" if a critical rule fails, "warnings" if another one does, else "passed"."""
        if self.failures("critical"):
            return "failed"
        return "warnings" if self.failures("warning") else "passed"

    def lines(self, severity: Severity) -> list[str]:
        """A line for each failure, capped."""
        lines = [item.line for item in self.failures(severity)]
        hidden = len(lines) - MAX_LINES
        return lines[:MAX_LINES] + ([f"and {hidden} more; the data docs have them all"] if hidden > 0 else [])

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values; NaN and infinities become null."""
        return {
            "format": FORMAT,
            "snapshot": self.snapshot,
            "window": [self.first_day, self.last_day],
            "rows": self.rows,
            "verdict": self.outcome,
            **{kind: self._drift_to_json(kind) for kind in self.drifts},
            **({"column_auc": self.column_auc} if self.column_auc else {}),
            "rules": [_to_plain(_rule_to_json(item)) for item in self.results],
        }

    def _drift_to_json(self, kind: ComparisonKind) -> dict[str, Any]:
        drift = self.drifts[kind]
        content = {"state": self.drift_state(kind), "against": drift.against, "reason": drift.reason}
        if drift.comparison is None:
            return content
        changes = drift.worst()
        columns = [_to_plain({**asdict(change), "excess": change.excess}) for change in changes[:MAX_COLUMNS]]
        beyond = sum(change.furthest > 1.0 for change in changes)
        return {
            **content,
            "compared": len(changes),
            "beyond": beyond,
            "new": drift.comparison.new,
            "columns": columns,
        }


def _rule_to_json(result: Result) -> dict[str, Any]:
    content = {**asdict(result), "line": result.line}
    if not result.population:
        del content["population"]
    return content


def _to_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
