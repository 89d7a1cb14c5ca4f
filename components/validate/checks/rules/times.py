"""Rules about times: their unit, their day, their order, and values that stand for no time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.validate.checks.great_expectations import Expectation, between, in_order
from components.validate.checks.rule import CheckedLog, Fact, FailureText, Figure, Rule
from components.validate.profile.statistics import fraction
from components.validate.profile.timestamps import ORDER_BLOCK, UNIT_BLOCK, describe_time
from recap_model.data.log.columns import FIRST_PLAUSIBLE_MS, LAST_PLAUSIBLE_MS, SENTINELS_IN_WORDS


@dataclass(frozen=True, kw_only=True)
class Times(Fact):
    """A column of times in a partition.

    Attributes:
        times: rows that have one.
        implausible: times that no unit of milliseconds explains; ``lowest`` and ``highest`` of all.
        outside: times over a day from the partition.
    """

    times: int
    lowest: float
    highest: float
    implausible: int
    outside: int


@dataclass(frozen=True, kw_only=True)
class OptionalTimes(Fact):
    """A column of times that a row may lack, over the window."""

    rows: int
    sentinels: int


@dataclass(frozen=True, kw_only=True)
class TimePair(Fact):
    """Two columns of times that have an order, in a partition."""

    first: str
    second: str
    pairs: int
    disordered: int


class _TimesRule(Rule[Times]):
    """A rule about each column of times in each partition."""

    def applies(self, log: CheckedLog) -> bool:
        return bool(log.roles & {"timestamp", "moment"})

    def facts(self, log: CheckedLog) -> Iterator[Times]:
        for name, partition in log.profile.partitions.items():
            for role in ("timestamp", "moment"):
                block = partition.blocks.get(role)
                extent = partition.blocks.get(UNIT_BLOCK) if role == "timestamp" else block
                if block is None or extent is None:
                    continue
                for position, column in enumerate(block.labels):
                    yield Times(
                        subject=column,
                        label=column,
                        partition=name,
                        times=int(block.stats.finite[position]),
                        lowest=float(extent.stats.minimum[position]),
                        highest=float(extent.stats.maximum[position]),
                        implausible=int(extent.stats.outside[position]),
                        # A time that features are computed from may be on any day.
                        outside=int(block.stats.outside[position]) if role == "timestamp" else 0,
                    )


class TimestampUnit(_TimesRule):
    """Times are in milliseconds since 1970."""

    name, severity = "timestamp_unit", "critical"
    bounds = ("max_outside_window_rate",)

    def figure(self, fact: Times, log: CheckedLog) -> Figure:
        highest = log.config.validation.max_outside_window_rate
        return Figure(fraction(fact.implausible, fact.times), highest=highest)

    def describe(self, fact: Times, log: CheckedLog) -> FailureText:
        plausible = FIRST_PLAUSIBLE_MS <= fact.lowest < LAST_PLAUSIBLE_MS
        value = fact.highest if plausible else fact.lowest
        observed = f"has {fact.implausible:,} times such as {describe_time(value)},"
        allowed = "a time is in milliseconds since 1970-01-01 UTC"
        advice = "write milliseconds, or timestamps"
        return FailureText(f"column {fact.subject}", observed, fact.partition, allowed, advice)

    def row_expectations(self, fact: Times, log: CheckedLog) -> list[Expectation]:
        return [between(fact.subject, FIRST_PLAUSIBLE_MS, LAST_PLAUSIBLE_MS)]


class TimestampWindow(_TimesRule):
    """Times are within a day of their partition."""

    name, severity = "timestamp_window", "critical"
    bounds = ("max_outside_window_rate",)

    def figure(self, fact: Times, log: CheckedLog) -> Figure:
        highest = log.config.validation.max_outside_window_rate
        return Figure(fraction(fact.outside, fact.times), highest=highest)

    def describe(self, fact: Times, log: CheckedLog) -> FailureText:
        rate = fraction(fact.outside, fact.times)
        observed = f"has {fact.outside:,} times ({rate:.1%}) over a day away"
        allowed = log.describe_bound("at most {:.1%}", "max_outside_window_rate")
        return FailureText(
            f"column {fact.subject}", observed, fact.partition, allowed, "move the rows to their day"
        )

    def row_expectations(self, fact: Times, log: CheckedLog) -> list[Expectation]:
        midnight = datetime.min.time()
        first = datetime.combine(log.snapshot.first_day, midnight, UTC) - timedelta(days=1)
        last = datetime.combine(log.snapshot.last_day, midnight, UTC) + timedelta(days=2)
        return [between(fact.subject, first.timestamp() * 1000, last.timestamp() * 1000)]


class TimestampSentinels(Rule[OptionalTimes]):
    """A column of times that a row may lack has nulls, not values that stand for them."""

    name, severity = "timestamp_sentinels", "warning"

    def applies(self, log: CheckedLog) -> bool:
        return bool(log.config.features.timestamps.engaged) or "moment" in log.roles

    def facts(self, log: CheckedLog) -> Iterator[OptionalTimes]:
        engaged = log.config.features.timestamps.engaged
        for role in ("timestamp", "moment"):
            block = log.window.blocks.get(role)
            for position, column in enumerate(block.labels if block else ()):
                assert block is not None
                if role == "moment" or column == engaged:
                    yield OptionalTimes(
                        subject=column,
                        label=column,
                        rows=int(block.stats.rows[position]),
                        sentinels=int(block.stats.nans[position]),
                    )

    def figure(self, fact: OptionalTimes, log: CheckedLog) -> Figure:
        return Figure(fact.sentinels, highest=0)

    def describe(self, fact: OptionalTimes, log: CheckedLog) -> FailureText:
        observed = f"has {fact.sentinels:,} of {fact.rows:,} times that are read as missing"
        allowed = f"a time is none of {SENTINELS_IN_WORDS}"
        advice = "write null where there is no time"
        return FailureText(f"column {fact.subject}", observed, log.days_in_words, allowed, advice)


class TimestampOrder(Rule[TimePair]):
    """A row is served before it is seen, and seen before it is engaged with."""

    name, severity = "timestamp_order", "critical"
    bounds = ("max_disordered_rate",)

    def applies(self, log: CheckedLog) -> bool:
        times = log.config.features.timestamps
        return bool(times.served and (times.impressed or times.engaged))

    def facts(self, log: CheckedLog) -> Iterator[TimePair]:
        served = log.config.features.timestamps.served or ""
        for name, partition in log.profile.partitions.items():
            for key, block in partition.blocks.items():
                if key.startswith(f"{ORDER_BLOCK}:"):
                    yield TimePair(
                        subject=block.labels[0],
                        partition=name,
                        first=served,
                        second=key.removeprefix(f"{ORDER_BLOCK}:"),
                        pairs=int(block.stats.finite[0]),
                        disordered=int(block.stats.outside[0]),
                    )

    def figure(self, fact: TimePair, log: CheckedLog) -> Figure:
        highest = log.config.validation.max_disordered_rate
        return Figure(fraction(fact.disordered, fact.pairs), highest=highest)

    def describe(self, fact: TimePair, log: CheckedLog) -> FailureText:
        rate = fraction(fact.disordered, fact.pairs)
        observed = f"does not hold for {fact.disordered:,} rows ({rate:.1%})"
        allowed = log.describe_bound("at most {:.1%}", "max_disordered_rate")
        return FailureText(
            fact.subject, observed, fact.partition, allowed, "look whether two columns are swapped"
        )

    def columns(self, fact: TimePair) -> list[str]:
        return [fact.first, fact.second]

    def row_expectations(self, fact: TimePair, log: CheckedLog) -> list[Expectation]:
        return [in_order(fact.first, fact.second)]


RULES: tuple[Rule[Times] | TimestampSentinels | TimestampOrder, ...] = (
    TimestampUnit(),
    TimestampWindow(),
    TimestampSentinels(),
    TimestampOrder(),
)
