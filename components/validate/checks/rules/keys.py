"""Rules about the columns that every row needs: ids, times, the weight."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.validate.checks.great_expectations import Expectation, between, not_null
from components.validate.checks.rule import CheckedLog, Fact, FailureText, Figure, Rule
from recap_model.data.log.column_roles import Role
from recap_model.data.log.columns import SENTINELS_IN_WORDS
from recap_model.data.log.values import LARGEST_WEIGHT, WEIGHT_VALUES


@dataclass(frozen=True, kw_only=True)
class Key(Fact):
    """A column of ids, times or weights over the window.

    Attributes:
        wrong: rows without a value, or with a weight that is none.
        sentinels: rows with a value that stands for no time.
    """

    rows: int
    wrong: int
    sentinels: int


class _KeyRule(Rule[Key]):
    """A rule about all columns of some roles."""

    key_roles: tuple[Role, ...]

    def applies(self, log: CheckedLog) -> bool:
        return bool(log.roles & set(self.key_roles))

    def facts(self, log: CheckedLog) -> Iterator[Key]:
        for block in log.blocks:
            if block.role not in self.key_roles or block.key not in log.window.blocks:
                continue
            stats = log.window.blocks[block.key].stats
            wrong = stats.outside if block.role == "weight" else stats.nulls + stats.nans
            for position, column in enumerate(block.labels):
                # A row may lack the time of an engagement.
                optional = column == log.config.features.timestamps.engaged
                yield Key(
                    subject=column,
                    label=column,
                    rows=int(stats.rows[position]),
                    wrong=0 if optional else int(wrong[position]),
                    sentinels=int(stats.nans[position]),
                )

    def figure(self, fact: Key, log: CheckedLog) -> Figure:
        return Figure(fact.wrong, highest=0)


class WeightValues(_KeyRule):
    """A weight is 0 or more."""

    name, severity = "weight_values", "critical"
    implies = ("column_drift", "column_skew")
    key_roles = ("weight",)

    def describe(self, fact: Key, log: CheckedLog) -> FailureText:
        observed = f"is negative, null or too large in {fact.wrong:,} of {fact.rows:,} rows"
        return FailureText(
            f"column {fact.subject}", observed, log.days_in_words, WEIGHT_VALUES, "fix the log"
        )

    def row_expectations(self, fact: Key, log: CheckedLog) -> list[Expectation]:
        return [not_null(fact.subject), between(fact.subject, 0.0, LARGEST_WEIGHT)]


class TimestampNulls(_KeyRule):
    """A row has the times that the config names."""

    name, severity = "timestamp_nulls", "critical"
    key_roles = ("timestamp",)

    def describe(self, fact: Key, log: CheckedLog) -> FailureText:
        observed = f"has no time in {fact.wrong:,} of {fact.rows:,} rows"
        if fact.sentinels:
            observed += f", {fact.sentinels:,} of them {SENTINELS_IN_WORDS},"
        return FailureText(
            f"column {fact.subject}", observed, log.days_in_words, "a row has one", "fix the log"
        )

    def row_expectations(self, fact: Key, log: CheckedLog) -> list[Expectation]:
        return [not_null(fact.subject)]


class IdNulls(_KeyRule):
    """A row has the ids that the config names."""

    name, severity = "id_nulls", "warning"
    key_roles = ("split", "id")

    def describe(self, fact: Key, log: CheckedLog) -> FailureText:
        observed = f"is null in {fact.wrong:,} of {fact.rows:,} rows"
        return FailureText(
            f"column {fact.subject}", observed, log.days_in_words, "a row has one", "fix the log"
        )

    def row_expectations(self, fact: Key, log: CheckedLog) -> list[Expectation]:
        return [not_null(fact.subject)]


RULES: tuple[Rule[Key], ...] = (WeightValues(), TimestampNulls(), IdNulls())
