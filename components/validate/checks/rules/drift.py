"""Rules about drift and skew: columns, tasks and days compared with a reference."""

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from components.validate.checks.rule import CheckedLog, Fact, FailureText, Figure, Rule, describe_number
from components.validate.drift.column import Change
from components.validate.drift.compare import WINDOW, Comparison, Level
from components.validate.drift.metrics import METRICS_BY_NAME, MISSING
from components.validate.result import ComparisonKind
from recap_model.config import RecapConfig
from recap_model.config.steps.drift import Severity

_NEAR_A_POWER = 0.05


@dataclass(frozen=True, kw_only=True)
class ColumnChange(Fact):
    """A column's change over the window or a day, and on how many days the column is beyond a bound."""

    change: Change
    days: int

    @property
    def location(self) -> str:
        return self.change.where


@dataclass(frozen=True, kw_only=True)
class LevelChange(Fact):
    """A figure of a task or a day, and the reference's."""

    level: Level

    @property
    def location(self) -> str:
        return self.level.where or self.subject


class _ComparisonRule:
    """Base of the rules about one comparison."""

    kind: ComparisonKind
    name: str

    def severity_in(self, config: RecapConfig) -> Severity:
        chosen: dict[str, Severity] = dict(config.validation.drift.severity.items())
        return chosen.get(self.name, "warning")

    def applies(self, log: CheckedLog) -> bool:
        return self.kind in log.comparisons

    def against(self, log: CheckedLog) -> str:
        """The reference's name."""
        return log.comparisons[self.kind][0]

    def comparison(self, log: CheckedLog) -> Comparison:
        """The comparison with the reference."""
        return log.comparisons[self.kind][1]


class _ColumnRule(_ComparisonRule, Rule[ColumnChange]):
    """A rule about each feature column over the window and on each day."""

    severity = "warning"

    def facts(self, log: CheckedLog) -> Iterator[ColumnChange]:
        changes = self.comparison(log).changes
        days = Counter(change.column for change in changes if change.excess > 1.0 and change.where != WINDOW)
        for change in changes:
            yield ColumnChange(
                subject=change.source, label=change.column, change=change, days=days[change.column]
            )


class ColumnDrift(_ColumnRule):
    """A feature column's values are distributed as the reference's, but for chance and usual variation."""

    def __init__(self, kind: ComparisonKind):
        self.kind = kind
        self.name = "column_drift" if kind == "drift" else "column_skew"
        self.implies = ("embedding_norm_change",) if kind == "drift" else ()

    def figure(self, fact: ColumnChange, log: CheckedLog) -> Figure:
        return Figure(min(fact.change.excess, 1e300), highest=1.0)

    def describe(self, fact: ColumnChange, log: CheckedLog) -> FailureText:
        change, metric = fact.change, METRICS_BY_NAME[fact.change.worst]
        value, allowed = change.values[metric.name], change.allowed[metric.name]
        distance = metric.sentence.format(value)
        observed = f"is not as in {self.against(log)}: {distance}{_describe_details(change)},"
        days = fact.days - (change.where != WINDOW)
        more = f" and {days} more day{'s' * (days > 1)}" if days > 0 and change.where != WINDOW else ""
        more = f", on {days} of its days" if days > 0 and change.where == WINDOW else more
        bound = f"at most {allowed:.3g} (validation.drift.{metric.bound} and chance)"
        return FailureText(
            f"column {change.column}",
            observed,
            _describe_location(change.where, log) + more,
            bound,
            _advise(change),
        )


class MissingRateDrift(_ColumnRule):
    """A feature column is missing as often as in the reference, but for chance and usual variation."""

    def __init__(self, kind: ComparisonKind):
        self.kind = kind
        self.name = "missing_rate_drift" if kind == "drift" else "missing_rate_skew"
        self.implies = (
            ("feature_null_rate_change", "feature_non_finite_rate", "column_drift")
            if kind == "drift"
            else ("column_skew",)
        )

    def figure(self, fact: ColumnChange, log: CheckedLog) -> Figure:
        return Figure(fact.change.values[MISSING.name], highest=fact.change.allowed[MISSING.name])

    def describe(self, fact: ColumnChange, log: CheckedLog) -> FailureText:
        change = fact.change
        usual, current = change.missing
        observed = f"has {current:.1%} missing values, {self.against(log)} {usual:.1%},"
        allowed = (
            f"a change of {change.allowed[MISSING.name]:.1%} (validation.drift.{MISSING.bound} and chance)"
        )
        where = _describe_location(change.where, log)
        return FailureText(f"column {change.column}", observed, where, allowed, "look at the column's source")


class _LevelRule(_ComparisonRule, Rule[LevelChange]):
    """A rule about a figure of each task or day."""

    kind: ComparisonKind = "drift"
    severity = "warning"

    @abstractmethod
    def levels(self, log: CheckedLog) -> list[Level]:
        """The figures that the rule is about."""

    def applies(self, log: CheckedLog) -> bool:
        return super().applies(log) and bool(self.levels(log))

    def facts(self, log: CheckedLog) -> Iterator[LevelChange]:
        for level in self.levels(log):
            yield LevelChange(subject=level.subject, level=level)

    def figure(self, fact: LevelChange, log: CheckedLog) -> Figure:
        return Figure(fact.level.value, fact.level.lowest, fact.level.highest)


class _TaskLevelRule(_LevelRule):
    """A rule about a rate of each task, or a mean."""

    bound: str
    observed: str
    style: str
    largest = 1.0

    def describe(self, fact: LevelChange, log: CheckedLog) -> FailureText:
        level = fact.level
        observed = self.observed.format(level.value, self.against(log), level.usual)
        between = f"{max(level.lowest, 0.0):{self.style}} to {min(level.highest, self.largest):{self.style}}"
        allowed = f"{between} (validation.drift.{self.bound} and chance)"
        where = _describe_location(level.where, log)
        return FailureText(f"task {level.subject}", observed, where, allowed, self.advise(level))

    def advise(self, level: Level) -> str:
        """What to do."""
        return "look at the labels' source"


class TaskRateDrift(_TaskLevelRule):
    """A task's positive rate is the reference's, but for chance and usual variation."""

    name, bound = "task_rate_drift", "max_positive_rate_change"
    implies = ("task_rate_change",)
    observed, style = "has a positive rate of {:.4g}, {} {:.4g},", ".4g"

    def levels(self, log: CheckedLog) -> list[Level]:
        return self.comparison(log).rates


class TaskMeanDrift(_TaskLevelRule):
    """A value task's mean label is the reference's, but for chance and usual variation."""

    name, bound = "task_mean_drift", "max_mean_change"
    observed, style, largest = "has a mean label of {:.4g}, {} {:.4g},", ".4g", math.inf

    def levels(self, log: CheckedLog) -> list[Level]:
        return self.comparison(log).means

    def advise(self, level: Level) -> str:
        return _advise_unit(level.usual, level.value) or super().advise(level)


class TaskNullRateDrift(_TaskLevelRule):
    """A task's fraction of rows without a label is the reference's, but for chance and usual variation."""

    name, bound = "task_null_rate_drift", "max_missing_rate_change"
    implies = ("task_null_rate_change",)
    observed, style = "has no label in {:.1%} of rows, {} {:.1%},", ".1%"

    def levels(self, log: CheckedLog) -> list[Level]:
        return self.comparison(log).nulls


class PartitionRowsDrift(_LevelRule):
    """A day has as many rows as the reference's days."""

    name = "partition_rows_drift"

    def levels(self, log: CheckedLog) -> list[Level]:
        return self.comparison(log).rows

    def describe(self, fact: LevelChange, log: CheckedLog) -> FailureText:
        level = fact.level
        observed = f"has {level.value:,} rows, a day of {self.against(log)} {level.usual:,.0f}"
        between = f"{max(level.lowest, 0.0):,.0f} to {level.highest:,.0f}"
        allowed = f"{between} (validation.drift.max_rows_change)"
        return FailureText(level.subject, observed, "", allowed, "look whether rows are there twice, or lost")


RULES: tuple[Rule[ColumnChange] | Rule[LevelChange], ...] = (
    MissingRateDrift("drift"),
    ColumnDrift("drift"),
    TaskRateDrift(),
    TaskMeanDrift(),
    TaskNullRateDrift(),
    PartitionRowsDrift(),
    MissingRateDrift("skew"),
    ColumnDrift("skew"),
)


def _describe_location(where: str, log: CheckedLog) -> str:
    return log.days_in_words if where == WINDOW else where


def _describe_details(change: Change) -> str:
    if change.gone:
        return f" ({change.gone})"
    usual, current = change.means
    return (
        f", mean {describe_number(current)} instead of {describe_number(usual)}"
        if math.isfinite(usual) and math.isfinite(current)
        else ""
    )


def _advise(change: Change) -> str:
    return _advise_unit(*change.means) or "look at its source, or list it in validation.drift.ignore"


def _advise_unit(usual: float, current: float) -> str:
    """Advice on a mean that changed by a power of ten; empty for another change."""
    if not (math.isfinite(usual) and math.isfinite(current)) or usual * current <= 0.0:
        return ""
    power = math.log10(current / usual)
    if abs(power) < 1.5 or abs(power - round(power)) > _NEAR_A_POWER:
        return ""
    size = f"{10 ** abs(round(power)):,}"
    return (
        f"its values are {size} times as {'large' if power > 0 else 'small'}: look whether its unit changed"
    )
