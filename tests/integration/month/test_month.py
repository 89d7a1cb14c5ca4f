"""Three of the month's days, so that the harness and what it holds the pipeline to are run on every change."""

from pathlib import Path

import pytest

from tests.integration.month.days import Day, Event, days_of_month
from tests.integration.month.invariants import champion_files, violations
from tests.integration.month.page import month_page
from tests.integration.month.simulate import Month


@pytest.mark.long
def test_three_days_have_decisions_one_champion_and_a_lineage(tmp_path: Path):
    days = [Day(1, Event.TWO_AT_ONCE), Day(2, Event.BROKEN_PARTITION), Day(3, Event.REPAIRED)]
    played = Month(tmp_path / "month", days)
    with played.registry():
        record = played.simulate(lambda day: None)
        broken, files = violations(played, record), champion_files(played)
    assert broken == []
    assert [attempt.outcome for day in record.days for attempt in day.attempts][2] == "FAILED"
    assert {path.partition("/")[0] for path, _ in files} <= {f"date=2026-03-{day:02}" for day in range(1, 9)}
    assert len(files) == 5
    assert record.polls > 20
    page = month_page(record, broken)
    assert all(word in page for word in ("two runs at once", "FAILED", "no violations"))


def test_a_month_has_thirty_days_and_every_event():
    days = days_of_month()
    assert [day.number for day in days] == list(range(1, 31))
    assert {day.event for day in days} == set(Event)
