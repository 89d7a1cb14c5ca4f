"""Rules about leaks: feature columns that say what is only known after the impression."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.validate.checks.column_scores import ColumnScore
from components.validate.checks.rule import CheckedLog, Fact, FailureText, Figure, Rule
from components.validate.profile.statistics import fraction
from components.validate.profile.values import read_values
from recap_model.data.log.columns import milliseconds

_MAX_NAMED = 3
_HIGHEST_RATE = 0.9  # of positives; where nearly all rows are positive, those with a value are, too


@dataclass(frozen=True, kw_only=True)
class TaskColumns(Fact):
    """A task's columns with their figures, the highest first; none with too few positives in the sample."""

    figures: list[tuple[str, float]]

    @property
    def highest(self) -> float:
        return self.figures[0][1] if self.figures else 0.0


class _ColumnRule(Rule[TaskColumns]):
    """A rule about each feature column against each task."""

    severity = "warning"
    bound: str

    def applies(self, log: CheckedLog) -> bool:
        return bool(log.config.binary_tasks) and bool(log.feature_blocks)

    def facts(self, log: CheckedLog) -> Iterator[TaskColumns]:
        for task in log.config.binary_tasks:
            scores = [score for score in log.column_scores if score.task == task]
            figures = [(score.column, value) for score in scores if (value := self.measure(score)) > 0.0]
            yield TaskColumns(subject=task, figures=sorted(figures, key=lambda one: (-one[1], one[0])))

    def measure(self, score: ColumnScore) -> float:
        """A column's figure; 0 where it says nothing."""
        raise NotImplementedError

    def figure(self, fact: TaskColumns, log: CheckedLog) -> Figure:
        return Figure(fact.highest, highest=getattr(log.config.validation, self.bound))

    def name_columns(self, fact: TaskColumns, log: CheckedLog, style: str) -> str:
        """The columns over the bound with their figures."""
        over = [one for one in fact.figures if one[1] > getattr(log.config.validation, self.bound)]
        words = [f"{column} ({format(value, style)})" for column, value in over[:_MAX_NAMED]]
        return ", ".join(words) + (f" and {len(over) - _MAX_NAMED} more" if len(over) > _MAX_NAMED else "")

    def advise(self, fact: TaskColumns) -> str:
        column = fact.figures[0][0]
        return f"if {column} is only known after the impression, remove it from features"


class LabelLeak(_ColumnRule):
    """No feature column alone tells a task's positives from its negatives."""

    name, bound, bounds = "label_leak", "max_column_auc", ("max_column_auc", "min_leak_positives")
    implies = ("label_only_column",)

    def measure(self, score: ColumnScore) -> float:
        return score.auc

    def describe(self, fact: TaskColumns, log: CheckedLog) -> FailureText:
        return FailureText(
            f"task {fact.subject}",
            f"is decided by a column alone, with an AUC of {self.name_columns(fact, log, '.4f')},",
            log.sample_in_words,
            log.describe_bound("at most {:g}", self.bound),
            self.advise(fact),
        )


class LabelOnlyColumn(_ColumnRule):
    """No feature column has values in the positives of a task only."""

    name, bound = "label_only_column", "max_positive_rate_where_present"
    bounds = ("max_positive_rate_where_present", "min_leak_positives")

    def facts(self, log: CheckedLog) -> Iterator[TaskColumns]:
        least = log.config.validation.min_leak_positives
        enough = {
            (score.task, score.column) for score in log.column_scores if score.present_positives >= least
        }
        for fact in super().facts(log):
            kept = [one for one in fact.figures if (fact.subject, one[0]) in enough]
            yield TaskColumns(subject=fact.subject, figures=kept)

    def measure(self, score: ColumnScore) -> float:
        rows = score.positives + score.negatives
        is_partial = score.present < rows and score.positives <= _HIGHEST_RATE * rows
        return fraction(score.present_positives, score.present) if is_partial else 0.0

    def describe(self, fact: TaskColumns, log: CheckedLog) -> FailureText:
        return FailureText(
            f"task {fact.subject}",
            f"is positive where a column has a value: rate {self.name_columns(fact, log, '.1%')},",
            log.sample_in_words,
            log.describe_bound("at most {:.1%}", self.bound),
            self.advise(fact),
        )


@dataclass(frozen=True, kw_only=True)
class FeatureTimes(Fact):
    """Times of a column in the sample: how many there are, and how many are after the impression."""

    rows: int
    late: int


class TimeAfterImpression(Rule[FeatureTimes]):
    """Times that features are computed from are not after the impression."""

    name, severity, bounds = "time_after_impression", "warning", ("max_time_after_impression_rate",)

    def applies(self, log: CheckedLog) -> bool:
        return log.config.features.timestamps.impressed is not None and "moment" in log.roles

    def facts(self, log: CheckedLog) -> Iterator[FeatureTimes]:
        impressed = str(log.config.features.timestamps.impressed)
        for block in log.blocks:
            if block.role != "moment":
                continue
            if log.sample is None or any(
                name not in log.sample.schema.names for name in (*block.columns, impressed)
            ):
                yield from (FeatureTimes(subject=column, rows=0, late=0) for column in block.columns)
                continue
            batch = log.sample.select([*dict.fromkeys([*block.columns, impressed])]).combine_chunks()
            batch = batch.to_batches()[0]
            shown = milliseconds(batch.column(impressed), f"column {impressed}").cast("float64")
            times = read_values(batch, block).array
            with np.errstate(invalid="ignore"):
                late = times > shown.to_numpy(zero_copy_only=False)[:, np.newaxis]
            for position, column in enumerate(block.columns):
                if column != impressed:
                    known = int(np.isfinite(times[:, position]).sum())
                    yield FeatureTimes(subject=column, rows=known, late=int(late[:, position].sum()))

    def figure(self, fact: FeatureTimes, log: CheckedLog) -> Figure:
        highest = log.config.validation.max_time_after_impression_rate
        return Figure(fraction(fact.late, fact.rows) if fact.rows else 0.0, highest=highest)

    def describe(self, fact: FeatureTimes, log: CheckedLog) -> FailureText:
        rate = fraction(fact.late, fact.rows)
        return FailureText(
            f"column {fact.subject}",
            f"is after the impression in {fact.late:,} of {fact.rows:,} rows with a time ({rate:.1%})",
            log.sample_in_words,
            log.describe_bound("at most {:.1%}", "max_time_after_impression_rate"),
            "join the value as it was at the impression, or remove what is derived from it",
        )


RULES: tuple[Rule[TaskColumns] | Rule[FeatureTimes], ...] = (
    LabelLeak(),
    LabelOnlyColumn(),
    TimeAfterImpression(),
)
