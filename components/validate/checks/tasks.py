"""Rules about tasks: positives, negatives, and how their rates change from partition to partition."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.validate.checks.rule import CheckedLog, Fact, Figure, Rule, Words, rate_noise
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
    """A task in a partition, and in the window."""

    here: Task
    window: Task


def _tasks(part: PartitionProfile, log: CheckedLog) -> Iterator[Task]:
    block = part.blocks.get("label")
    for task, column in log.config.label_columns().items() if block is not None else ():
        assert block is not None
        position, stats = block.labels.index(column), block.stats
        rows = int(stats.rows[position])
        yield Task(
            about=task,
            rows=rows,
            labelled=rows - int(stats.missing[position]),
            positives=int(stats.ones[position]),
            negatives=int(stats.zeros[position]),
        )


def _task_partitions(log: CheckedLog) -> Iterator[TaskPartition]:
    window = {task.about: task for task in _tasks(log.window, log)}
    for name, part in log.profile.partitions.items():
        for task in _tasks(part, log):
            yield TaskPartition(about=task.about, partition=name, here=task, window=window[task.about])


class TaskPositives(Rule[Task]):
    """A task has enough positives over the window."""

    name, severity = "task_positives", "critical"
    bounds = ("min_positives",)
    implies = ("task_rate_change", "task_negatives", "task_rate_drift")

    def facts(self, log: CheckedLog) -> Iterator[Task]:
        return _tasks(log.window, log)

    def figure(self, fact: Task, log: CheckedLog) -> Figure:
        return Figure(fact.positives, lowest=log.config.validation.min_positives)

    def words(self, fact: Task, log: CheckedLog) -> Words:
        observed = f"has {fact.positives:,} positives among {fact.labelled:,} labels"
        allowed = f"at least {log.config.validation.min_positives:,} (validation.min_positives)"
        advice = "widen the window, or remove the task"
        return Words(f"task {fact.about}", observed, log.days_in_words, allowed, advice)


class TaskNegatives(Rule[Task]):
    """A task has a negative over the window."""

    name, severity = "task_negatives", "critical"
    implies = ("task_rate_change", "task_rate_drift")

    def facts(self, log: CheckedLog) -> Iterator[Task]:
        return _tasks(log.window, log)

    def figure(self, fact: Task, log: CheckedLog) -> Figure:
        return Figure(fact.negatives, lowest=1)

    def words(self, fact: Task, log: CheckedLog) -> Words:
        observed = f"has no negative among {fact.labelled:,} labels"
        advice = "look at the label column, or remove the task"
        return Words(f"task {fact.about}", observed, log.days_in_words, "a task needs both", advice)


class TaskRateChange(Rule[TaskPartition]):
    """A task's positive rate in a partition is near the window's, but for chance."""

    name, severity = "task_rate_change", "warning"
    bounds = ("max_positive_rate_change",)

    def facts(self, log: CheckedLog) -> Iterator[TaskPartition]:
        return _task_partitions(log)

    def figure(self, fact: TaskPartition, log: CheckedLog) -> Figure:
        usual = fact.window.rate
        slack = log.config.validation.max_positive_rate_change * usual + rate_noise(usual, fact.here.labelled)
        return Figure(fact.here.rate if fact.here.labelled else usual, usual - slack, usual + slack)

    def words(self, fact: TaskPartition, log: CheckedLog) -> Words:
        observed = f"has a positive rate of {fact.here.rate:.4g}, the window {fact.window.rate:.4g},"
        change = log.config.validation.max_positive_rate_change
        allowed = f"a change of {change:.0%} and chance (validation.max_positive_rate_change)"
        return Words(f"task {fact.about}", observed, fact.partition, allowed, "look at the day's labels")


class TaskNullRateChange(Rule[TaskPartition]):
    """A task's fraction of rows without a label in a partition is near the window's, but for chance."""

    name, severity = "task_null_rate_change", "warning"
    bounds = ("max_null_rate_change",)

    def facts(self, log: CheckedLog) -> Iterator[TaskPartition]:
        return _task_partitions(log)

    def figure(self, fact: TaskPartition, log: CheckedLog) -> Figure:
        usual = fact.window.null_rate
        slack = log.config.validation.max_null_rate_change + rate_noise(usual, fact.here.rows)
        return Figure(fact.here.null_rate, usual - slack, usual + slack)

    def words(self, fact: TaskPartition, log: CheckedLog) -> Words:
        observed = (
            f"has no label in {fact.here.null_rate:.1%} of rows, the window {fact.window.null_rate:.1%},"
        )
        change = log.config.validation.max_null_rate_change
        allowed = f"a change of {change:.0%} and chance (validation.max_null_rate_change)"
        return Words(f"task {fact.about}", observed, fact.partition, allowed, "look at the day's labels")


RULES: tuple[Rule[Task] | Rule[TaskPartition], ...] = (
    TaskPositives(),
    TaskNegatives(),
    TaskRateChange(),
    TaskNullRateChange(),
)
