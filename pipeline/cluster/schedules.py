"""Schedules of recurring runs, and their cron expressions."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from croniter import croniter


@dataclass(frozen=True)
class Schedule:
    """A recurring run on the server. ``cron`` has six fields, seconds first.

    ``touched``: it was modified, paused or resumed since its creation.
    """

    id: str
    name: str
    cron: str
    enabled: bool
    arguments: dict[str, Any]
    version_id: str | None
    pipeline_id: str | None = None
    description: str = ""
    touched: bool = False

    @classmethod
    def from_api(cls, recurring: Any) -> "Schedule":
        """Convert the API's V2beta1RecurringRun."""
        trigger, reference = recurring.trigger, recurring.pipeline_version_reference
        runtime = recurring.runtime_config
        return cls(
            id=recurring.recurring_run_id,
            name=recurring.display_name,
            cron=trigger.cron_schedule.cron if trigger and trigger.cron_schedule else "",
            enabled=recurring.mode == "ENABLE",
            arguments=dict(runtime.parameters or {}) if runtime else {},
            version_id=reference.pipeline_version_id if reference else recurring.pipeline_version_id,
            pipeline_id=reference.pipeline_id if reference else None,
            description=recurring.description or "",
            touched=recurring.updated_at is not None and recurring.updated_at != recurring.created_at,
        )


def normalize_cron(cron: str) -> str:
    """Convert a cron expression to six fields, seconds first; second 0 is added to five fields.

    Raises ValueError for an invalid expression, or one that fires more than once an hour.

    >>> six_fields("30 3 * * *")
    '0 30 3 * * *'
    """
    fields = cron.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    expression = " ".join(fields)
    if len(fields) != 6 or not croniter.is_valid(expression, second_at_beginning=True):
        raise ValueError(
            f"cron: {cron!r} is not a cron expression; write minute hour day month weekday, as '30 3 * * *'"
        )
    minutes, *_, seconds = croniter.expand(expression, second_at_beginning=True)[0]
    if any(len(times) > 1 or times == ["*"] for times in (minutes, seconds)):
        raise ValueError(f"cron: {cron!r} fires more than once an hour; a run reads whole days")
    return expression


def next_run_times(
    expression: str, zone: tzinfo = UTC, count: int = 3, now: datetime | None = None
) -> list[datetime]:
    """The next run times, in UTC, of a six-field cron expression in the server's time zone."""
    start = (now or datetime.now(UTC)).astimezone(zone)
    return [fire.astimezone(UTC) for fire in _run_times(expression, start, count)]


def _run_times(expression: str, start: datetime, count: int) -> list[datetime]:
    times = croniter(expression, start, second_at_beginning=True)
    return [times.get_next(datetime) for _ in range(count)]
