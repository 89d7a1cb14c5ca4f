"""Timestamps of a partition: are they milliseconds, near the partition, and in order?"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from components.validate.profile.columns import Block
from components.validate.profile.statistics import Flags, Stats, measure
from components.validate.profile.values import Values
from recap_model.config.data.features import TimestampColumns
from recap_model.data.log.columns import FIRST_PLAUSIBLE_MS, LAST_PLAUSIBLE_MS

UNIT_BLOCK, ORDER_BLOCK = "timestamp_unit", "timestamp_order"
_DAY_MS = 86_400_000
_FIRST_SECONDS = 1e8  # the same day of 1973


@dataclass(frozen=True)
class Span:
    """A partition's day or hour, in milliseconds since 1970-01-01 UTC, its end excluded."""

    start_ms: float
    end_ms: float

    @classmethod
    def parse(cls, partition: str) -> "Span":
        """Parse a partition's name, as ``date=2026-03-01`` or ``date=2026-03-01/hour=05``."""
        fields = dict(item.split("=", 1) for item in partition.split("/"))
        start = datetime.fromisoformat(fields["date"]).replace(tzinfo=UTC)
        length = timedelta(days=1)
        if "hour" in fields:
            start, length = start + timedelta(hours=int(fields["hour"])), timedelta(hours=1)
        return cls(start.timestamp() * 1000.0, (start + length).timestamp() * 1000.0)


def measure_times(
    values: Values, block: Block, stamps: TimestampColumns, span: Span
) -> Iterator[tuple[str, list[str], Stats]]:
    """Stats of the timestamps, of those in another unit, and of pairs that are out of order.

    ``nans`` of a block of times are the values that stand for no time, as `milliseconds` reads them.
    A value in another unit is counted as that alone: it is neither far from the partition nor out of order.
    """
    array = values.array
    plausible = (array >= FIRST_PLAUSIBLE_MS) & (array < LAST_PLAUSIBLE_MS)
    far = plausible & ((array < span.start_ms - _DAY_MS) | (array >= span.end_ms + _DAY_MS))
    if stamps.engaged:
        far[:, block.columns.index(stamps.engaged)] = False  # an engagement may come days later
    yield block.key, block.labels, measure(array, values.nulls, outside=far)
    implausible: Flags = ~plausible & ~np.isnan(array)
    yield UNIT_BLOCK, block.labels, measure(array, values.nulls, outside=implausible)
    if stamps.served:
        served = block.columns.index(stamps.served)
        for later in filter(None, (stamps.impressed, stamps.engaged)):
            position = block.columns.index(later)
            both = plausible[:, served] & plausible[:, position]
            gaps = np.where(both, array[:, position] - array[:, served], np.nan)[:, np.newaxis]
            without_pair = np.array([np.count_nonzero(~both)])
            label = f"{stamps.served} <= {later}"
            yield f"{ORDER_BLOCK}:{later}", [label], measure(gaps, without_pair, outside=gaps < 0.0)


def measure_derived_times(values: Values) -> Stats:
    """Stats of times that only derived columns need: of any day, 0 for none, but not in seconds."""
    size = np.abs(values.array)
    seconds: Flags = (size >= _FIRST_SECONDS) & (size < FIRST_PLAUSIBLE_MS)
    return measure(values.array, values.nulls, outside=seconds | (size >= LAST_PLAUSIBLE_MS))


def describe_time(value: float) -> str:
    """Describe a time that is not in milliseconds, with the unit that it may be in."""
    for unit, first, last in (
        ("seconds", _FIRST_SECONDS, FIRST_PLAUSIBLE_MS),
        ("microseconds", LAST_PLAUSIBLE_MS, 1e17),
        ("nanoseconds", 1e17, 1e20),
    ):
        if first <= abs(value) < last:
            return f"{value:.0f}, which looks like {unit}"
    return f"{value:.0f}"
