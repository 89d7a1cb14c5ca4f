"""The days of the month, and the fault of each."""

from dataclasses import dataclass
from enum import StrEnum


class Event(StrEnum):
    """A fault or another event of a day; the value is its name on the page."""

    NOTHING = ""
    TWO_AT_ONCE = "two runs at once"
    PREEMPTED = "training is preempted"
    BROKEN_PARTITION = "the day's partition is cut off"
    REPAIRED = "yesterday's partition is written again"
    NO_DATA = "the day has no partition"
    WORSE_CANDIDATE = "a config that trains for five steps"
    REGISTRY_DOWN = "the registry is down"
    KILLED = "the run is killed while it registers"
    ROLLBACK = "a person rolls back"
    MIXED_FEATURES = "the day's features are those of other rows, until they are written again"
    LOST_LABELS = "half of the day's positives are lost, until they are written again"


@dataclass(frozen=True)
class Day:
    """A day of the month, counted from 1, and its event."""

    number: int
    event: Event = Event.NOTHING


_EVENTS = {
    1: Event.TWO_AT_ONCE,
    4: Event.PREEMPTED,
    7: Event.BROKEN_PARTITION,
    8: Event.REPAIRED,
    11: Event.NO_DATA,
    13: Event.MIXED_FEATURES,
    14: Event.WORSE_CANDIDATE,
    17: Event.REGISTRY_DOWN,
    20: Event.KILLED,
    22: Event.LOST_LABELS,
    24: Event.ROLLBACK,
}


def days_of_month(days: int = 30) -> list[Day]:
    """The days of the month; a shorter one ends earlier."""
    return [Day(number, _EVENTS.get(number, Event.NOTHING)) for number in range(1, days + 1)]
