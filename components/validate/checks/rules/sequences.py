"""Rules about sequences: events are in their order, and before the impression."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.validate.checks.rule import CheckedLog, Fact, FailureText, Figure, Rule
from components.validate.profile.sequences import FUTURE_BLOCK, ORDER_BLOCK
from components.validate.profile.statistics import fraction


@dataclass(frozen=True, kw_only=True)
class Histories(Fact):
    """A sequence with times in a partition.

    Attributes:
        rows: with a time of an event.
        wrong: of them, those that break the rule.
    """

    rows: int
    wrong: int


class _TimesRule(Rule[Histories]):
    """A rule about the times of events of each sequence in each partition."""

    bounds = ("max_disordered_history_rate",)
    block: str

    def applies(self, log: CheckedLog) -> bool:
        return any(
            column.kind == "time"
            for sequence in log.config.features.sequences.values()
            for column in sequence.columns.values()
        )

    def facts(self, log: CheckedLog) -> Iterator[Histories]:
        for partition, profile in log.profile.partitions.items():
            for name in log.config.features.sequences:
                if (block := profile.blocks.get(f"{self.block}:{name}")) is not None:
                    rows, wrong = int(block.stats.rows[0]), int(block.stats.outside[0])
                    yield Histories(subject=name, partition=partition, rows=rows, wrong=wrong)

    def figure(self, fact: Histories, log: CheckedLog) -> Figure:
        return Figure(
            fraction(fact.wrong, fact.rows), highest=log.config.validation.max_disordered_history_rate
        )

    def _describe(self, fact: Histories, log: CheckedLog, observed: str, advice: str) -> FailureText:
        rate = fraction(fact.wrong, fact.rows)
        return FailureText(
            f"sequence {fact.subject}",
            f"{observed} in {fact.wrong:,} of {fact.rows:,} rows ({rate:.2%})",
            fact.partition,
            log.describe_bound("at most {:.2%}", "max_disordered_history_rate"),
            advice,
        )


class SequenceFuture(_TimesRule):
    """Events of a sequence are earlier than the impression."""

    name, severity = "sequence_future", "critical"
    block = FUTURE_BLOCK

    def describe(self, fact: Histories, log: CheckedLog) -> FailureText:
        return self._describe(
            fact,
            log,
            "has an event at or after the impression",
            "join the events before the impression, or the model learns from what it cannot know",
        )


class SequenceOrder(_TimesRule):
    """Events of a sequence are in the order that the config gives."""

    name, severity = "sequence_order", "critical"
    block = ORDER_BLOCK

    def describe(self, fact: Histories, log: CheckedLog) -> FailureText:
        order = log.config.features.sequences[fact.subject].order
        return self._describe(
            fact,
            log,
            f"is not {order}",
            f"sort the events by time, or change features.sequences.{fact.subject}.order",
        )


RULES: tuple[Rule[Histories], ...] = (SequenceFuture(), SequenceOrder())
