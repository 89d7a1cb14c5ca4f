"""Rules about labels that are numbers: those of value tasks, and columns that label rules compare with numbers."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.validate.checks.rule import CheckedLog, Fact, FailureText, Figure, Rule, describe_number
from components.validate.profile.columns import locate_label
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.sketches.histogram import lower_edges
from recap_model.config import RecapConfig


@dataclass(frozen=True, kw_only=True)
class ValueLabels(Fact):
    """The labels of a value task over the window: how many are no values, and how far they spread."""

    column: str
    labels: int
    outside: int
    spread: float


class _ValueRule(Rule[ValueLabels]):
    """A rule about the labels of each value task."""

    severity = "critical"

    def applies(self, log: CheckedLog) -> bool:
        return bool(log.config.value_tasks)

    def facts(self, log: CheckedLog) -> Iterator[ValueLabels]:
        for task in log.config.value_tasks:
            key, column = locate_label(log.config, task)
            block = log.window.blocks.get(key)
            if block is not None:
                position, stats = block.labels.index(column), block.stats
                yield ValueLabels(
                    subject=task,
                    column=column,
                    labels=int(stats.finite[position]),
                    outside=int(stats.outside[position]),
                    spread=float(stats.maximum[position] - stats.minimum[position]),
                )


class ValueRange(_ValueRule):
    """The labels of a value task are finite and not negative."""

    name = "value_range"
    implies = ("value_spread", "task_mean_drift")

    def figure(self, fact: ValueLabels, log: CheckedLog) -> Figure:
        return Figure(fact.outside, highest=0)

    def describe(self, fact: ValueLabels, log: CheckedLog) -> FailureText:
        observed = f"has {fact.outside:,} labels that are negative or infinite in column {fact.column},"
        allowed = "the label of a value task is 0 or more and finite in float32, or null"
        advice = f"fix the log, or name another column in tasks.{fact.subject}.label"
        return FailureText(f"task {fact.subject}", observed, log.days_in_words, allowed, advice)


class ValueSpread(_ValueRule):
    """The labels of a value task are there and are not all equal."""

    name = "value_spread"
    implies = ("task_mean_drift",)

    def figure(self, fact: ValueLabels, log: CheckedLog) -> Figure:
        return Figure(fact.spread if fact.labels else 0.0, lowest=sys.float_info.min)

    def describe(self, fact: ValueLabels, log: CheckedLog) -> FailureText:
        same = f"has {fact.labels:,} labels, all of them equal," if fact.labels else "has no label"
        advice = f"look at column {fact.column}, or remove the task"
        return FailureText(
            f"task {fact.subject}", same, log.days_in_words, "a value task has labels that differ", advice
        )


@dataclass(frozen=True, kw_only=True)
class ComparedColumn(Fact):
    """A column that a label rule compares: the largest of the numbers, and the median of its positive values."""

    field: str
    bound: float
    median: float


class LabelUnit(Rule[ComparedColumn]):
    """A column named in seconds has no values that look like milliseconds."""

    name, severity = "label_unit", "warning"

    def applies(self, log: CheckedLog) -> bool:
        return any(True for _ in _list_seconds(log.config))

    def facts(self, log: CheckedLog) -> Iterator[ComparedColumn]:
        for field, column, bound in _list_seconds(log.config):
            median = _positive_median(log.window, column)
            yield ComparedColumn(subject=column, field=field, bound=bound, median=median)

    def figure(self, fact: ComparedColumn, log: CheckedLog) -> Figure:
        return Figure(fact.median / fact.bound, highest=_MOST_TIMES_BOUND)

    def describe(self, fact: ComparedColumn, log: CheckedLog) -> FailureText:
        bound = describe_number(fact.bound, 6)
        observed = f"is compared with {bound} in {fact.field}, and half of its positive values are over "
        return FailureText(
            f"column {fact.subject}",
            f"{observed}{describe_number(fact.median)},",
            log.days_in_words,
            "a column named in seconds has seconds",
            "if these are milliseconds, write seconds, or rename the column and compare it with milliseconds",
        )


_SECONDS = re.compile(r"(^|_)(s|secs?|seconds?)$", re.IGNORECASE)
# A threshold near the typical value is usual; a typical value of a hundred thresholds is another unit's.
_MOST_TIMES_BOUND = 100.0


def _list_seconds(config: RecapConfig) -> Iterator[tuple[str, str, float]]:
    """Comparisons of columns named in seconds with positive numbers: the field, the column, the largest number."""
    for task, settings in config.tasks.items():
        for field, rule in settings.conditions(task):
            numbers = [bound for bound in rule.bounds if isinstance(bound, float) and bound > 0]
            if rule.column and numbers and _SECONDS.search(rule.column):
                yield f"tasks.{task}.{field}", rule.column, max(numbers)
        column = str(settings.label_rule(task))
        if settings.kind == "value" and _SECONDS.search(column):
            if settings.cap is not None:
                # Values of which half exceed the cap: it would be the label of most rows.
                yield f"tasks.{task}.cap", column, settings.cap / _MOST_TIMES_BOUND
            elif settings.scale is not None:
                yield f"tasks.{task}.scale", column, settings.scale


def _positive_median(profile: PartitionProfile, column: str) -> float:
    """The lower edge of the bin with the median of a column's positive values; 0 without one."""
    for key in ("value", "outcome", "continuous"):
        block = profile.blocks.get(key)
        if block is None or column not in block.labels:
            continue
        bins, counts = block.histograms.select(block.labels.index(column))
        edges = lower_edges(bins)
        edges, counts = edges[edges > 0], counts[edges > 0]
        if len(edges):
            return float(edges[np.searchsorted(np.cumsum(counts), counts.sum() / 2)])
    return 0.0


RULES: tuple[Rule[ValueLabels] | LabelUnit, ...] = (ValueRange(), ValueSpread(), LabelUnit())
