"""Rules about tasks: positives, negatives, and how their rates change from partition to partition."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from components.validate.checks.rule import (
    CheckedLog,
    Fact,
    FailureText,
    Figure,
    Rule,
    rate_noise,
)
from components.validate.profile.columns import locate_label
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.statistics import fraction


@dataclass(frozen=True, kw_only=True)
class Task(Fact):
    """A task's labels in some rows."""

    rows: int
    labelled: int
    positives: int
    negatives: int

    @property
    def rate(self) -> float:
        """Positives among labels."""
        return fraction(self.positives, self.labelled)

    @property
    def null_rate(self) -> float:
        """The fraction of rows without a label."""
        return fraction(self.rows - self.labelled, self.rows)


@dataclass(frozen=True, kw_only=True)
class TaskPartition(Fact):
    """A task's labels in a partition and in the window."""

    current: Task
    window: Task


def _read_tasks(profile: PartitionProfile, log: CheckedLog) -> Iterator[Task]:
    for task in log.config.binary_tasks:
        key, label = locate_label(log.config, task)
        block = profile.blocks.get(key)
        if block is None:
            continue
        position, stats = block.labels.index(label), block.stats
        rows = int(stats.rows[position])
        yield Task(
            subject=task,
            rows=rows,
            labelled=rows - int(stats.missing[position]),
            positives=int(stats.ones[position]),
            negatives=int(stats.zeros[position]),
        )


def _read_task_partitions(log: CheckedLog) -> Iterator[TaskPartition]:
    window = {task.subject: task for task in _read_tasks(log.window, log)}
    for name, partition in log.profile.partitions.items():
        for task in _read_tasks(partition, log):
            yield TaskPartition(
                subject=task.subject, partition=name, current=task, window=window[task.subject]
            )


def _change_rule(task: str, log: CheckedLog) -> str:
    """Advice on a label that is made by rules; empty for one that is a column."""
    rules = log.config.derived_labels()
    return f"change tasks.{task} ({rules[task]}), " if task in rules else ""


class _TaskRule(Rule[Task]):
    """A rule about each binary task over the window."""

    severity = "critical"

    def applies(self, log: CheckedLog) -> bool:
        return bool(log.config.binary_tasks)

    def facts(self, log: CheckedLog) -> Iterator[Task]:
        return _read_tasks(log.window, log)


class _ChangeRule(Rule[TaskPartition]):
    """A rule about a rate of each binary task in each partition."""

    severity = "warning"

    def applies(self, log: CheckedLog) -> bool:
        return bool(log.config.binary_tasks)

    def facts(self, log: CheckedLog) -> Iterator[TaskPartition]:
        return _read_task_partitions(log)

    @abstractmethod
    def observe(self, fact: TaskPartition) -> str:
        """The partition's rate and the window's, in words."""

    def describe(self, fact: TaskPartition, log: CheckedLog) -> FailureText:
        allowed = log.describe_bound("a change of {:.0%} and chance", self.bounds[0])
        where, advice = fact.partition, "look at the day's labels"
        return FailureText(f"task {fact.subject}", self.observe(fact), where, allowed, advice)


class TaskPositives(_TaskRule):
    """A task has enough positives over the window."""

    name = "task_positives"
    bounds = ("min_positives",)
    implies = ("task_rate_change", "task_negatives", "task_rate_drift")

    def figure(self, fact: Task, log: CheckedLog) -> Figure:
        return Figure(fact.positives, lowest=log.config.validation.min_positives)

    def describe(self, fact: Task, log: CheckedLog) -> FailureText:
        observed = f"has {fact.positives:,} positives among {fact.labelled:,} labels"
        allowed = log.describe_bound("at least {:,}", "min_positives")
        advice = f"widen the window, {_change_rule(fact.subject, log)}or remove the task"
        return FailureText(f"task {fact.subject}", observed, log.days_in_words, allowed, advice)


class TaskNegatives(_TaskRule):
    """A task has a negative over the window."""

    name = "task_negatives"
    implies = ("task_rate_change", "task_rate_drift")

    def figure(self, fact: Task, log: CheckedLog) -> Figure:
        return Figure(fact.negatives, lowest=1)

    def describe(self, fact: Task, log: CheckedLog) -> FailureText:
        observed = f"has no negative among {fact.labelled:,} labels"
        rule = _change_rule(fact.subject, log)
        advice = f"{rule}or remove the task" if rule else "look at the label column, or remove the task"
        return FailureText(f"task {fact.subject}", observed, log.days_in_words, "a task needs both", advice)


class TaskRateChange(_ChangeRule):
    """A task's positive rate in a partition is near the window's, but for chance."""

    name = "task_rate_change"
    bounds = ("max_positive_rate_change",)

    def figure(self, fact: TaskPartition, log: CheckedLog) -> Figure:
        usual = fact.window.rate
        slack = log.config.validation.max_positive_rate_change * usual + rate_noise(
            usual, fact.current.labelled
        )
        return Figure(fact.current.rate if fact.current.labelled else usual, usual - slack, usual + slack)

    def observe(self, fact: TaskPartition) -> str:
        return f"has a positive rate of {fact.current.rate:.4g}, the window {fact.window.rate:.4g},"


class TaskNullRateChange(_ChangeRule):
    """A task's fraction of rows without a label in a partition is near the window's, but for chance."""

    name = "task_null_rate_change"
    bounds = ("max_null_rate_change",)

    def figure(self, fact: TaskPartition, log: CheckedLog) -> Figure:
        usual = fact.window.null_rate
        slack = log.config.validation.max_null_rate_change + rate_noise(usual, fact.current.rows)
        return Figure(fact.current.null_rate, usual - slack, usual + slack)

    def observe(self, fact: TaskPartition) -> str:
        usual = fact.window.null_rate
        return f"has no label in {fact.current.null_rate:.1%} of rows, the window {usual:.1%},"


RULES: tuple[Rule[Task] | Rule[TaskPartition], ...] = (
    TaskPositives(),
    TaskNegatives(),
    TaskRateChange(),
    TaskNullRateChange(),
)
