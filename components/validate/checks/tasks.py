"""Rules about tasks: positives, negatives, and how their rates change from partition to partition."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.validate.checks.rule import CheckedLog, Fact, FailureText, Figure, Rule, rate_noise
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
    block = profile.blocks.get("label")
    for task, column in log.config.label_columns().items() if block is not None else ():
        assert block is not None
        position, stats = block.labels.index(column), block.stats
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


class TaskPositives(Rule[Task]):
    """A task has enough positives over the window."""

    name, severity = "task_positives", "critical"
    bounds = ("min_positives",)
    implies = ("task_rate_change", "task_negatives", "task_rate_drift")

    def facts(self, log: CheckedLog) -> Iterator[Task]:
        return _read_tasks(log.window, log)

    def figure(self, fact: Task, log: CheckedLog) -> Figure:
        return Figure(fact.positives, lowest=log.config.validation.min_positives)

    def describe(self, fact: Task, log: CheckedLog) -> FailureText:
        observed = f"has {fact.positives:,} positives among {fact.labelled:,} labels"
        allowed = f"at least {log.config.validation.min_positives:,} (validation.min_positives)"
        advice = "widen the window, or remove the task"
        return FailureText(f"task {fact.subject}", observed, log.days_in_words, allowed, advice)


class TaskNegatives(Rule[Task]):
    """A task has a negative over the window."""

    name, severity = "task_negatives", "critical"
    implies = ("task_rate_change", "task_rate_drift")

    def facts(self, log: CheckedLog) -> Iterator[Task]:
        return _read_tasks(log.window, log)

    def figure(self, fact: Task, log: CheckedLog) -> Figure:
        return Figure(fact.negatives, lowest=1)

    def describe(self, fact: Task, log: CheckedLog) -> FailureText:
        observed = f"has no negative among {fact.labelled:,} labels"
        advice = "look at the label column, or remove the task"
        return FailureText(f"task {fact.subject}", observed, log.days_in_words, "a task needs both", advice)


class TaskRateChange(Rule[TaskPartition]):
    """A task's positive rate in a partition is near the window's, but for chance."""

    name, severity = "task_rate_change", "warning"
    bounds = ("max_positive_rate_change",)

    def facts(self, log: CheckedLog) -> Iterator[TaskPartition]:
        return _read_task_partitions(log)

    def figure(self, fact: TaskPartition, log: CheckedLog) -> Figure:
        usual = fact.window.rate
        slack = log.config.validation.max_positive_rate_change * usual + rate_noise(
            usual, fact.current.labelled
        )
        return Figure(fact.current.rate if fact.current.labelled else usual, usual - slack, usual + slack)

    def describe(self, fact: TaskPartition, log: CheckedLog) -> FailureText:
        observed = f"has a positive rate of {fact.current.rate:.4g}, the window {fact.window.rate:.4g},"
        change = log.config.validation.max_positive_rate_change
        allowed = f"a change of {change:.0%} and chance (validation.max_positive_rate_change)"
        return FailureText(
            f"task {fact.subject}", observed, fact.partition, allowed, "look at the day's labels"
        )


class TaskNullRateChange(Rule[TaskPartition]):
    """A task's fraction of rows without a label in a partition is near the window's, but for chance."""

    name, severity = "task_null_rate_change", "warning"
    bounds = ("max_null_rate_change",)

    def facts(self, log: CheckedLog) -> Iterator[TaskPartition]:
        return _read_task_partitions(log)

    def figure(self, fact: TaskPartition, log: CheckedLog) -> Figure:
        usual = fact.window.null_rate
        slack = log.config.validation.max_null_rate_change + rate_noise(usual, fact.current.rows)
        return Figure(fact.current.null_rate, usual - slack, usual + slack)

    def describe(self, fact: TaskPartition, log: CheckedLog) -> FailureText:
        observed = (
            f"has no label in {fact.current.null_rate:.1%} of rows, the window {fact.window.null_rate:.1%},"
        )
        change = log.config.validation.max_null_rate_change
        allowed = f"a change of {change:.0%} and chance (validation.max_null_rate_change)"
        return FailureText(
            f"task {fact.subject}", observed, fact.partition, allowed, "look at the day's labels"
        )


RULES: tuple[Rule[Task] | Rule[TaskPartition], ...] = (
    TaskPositives(),
    TaskNegatives(),
    TaskRateChange(),
    TaskNullRateChange(),
)
