"""Three of the month's days, so that the harness and what it holds the pipeline to are run on every change."""

from pathlib import Path

import pytest

from components.common import registry
from components.common.history import write_history
from tests.integration.month.days import Day, Event, days_of_month
from tests.integration.month.invariants import champion_files, violations
from tests.integration.month.simulate import NAME, Month


@pytest.mark.long
def test_three_days_have_decisions_one_champion_and_a_lineage(tmp_path: Path):
    days = [Day(1, Event.TWO_AT_ONCE), Day(2, Event.MIXED_FEATURES), Day(3, Event.BROKEN_PARTITION)]
    played = Month(tmp_path / "month", days)
    with played.registry():
        record = played.simulate(lambda day: None)
        broken, files = violations(played, record), champion_files(played)
        write_history(registry.connect(played.registry_uri), NAME, tmp_path / "month.html")
    assert broken == []
    assert [attempt.outcome for day in record.days for attempt in day.attempts][3] == "FAILED"
    assert {path.partition("/")[0] for path, _ in files} <= {f"date=2026-03-{day:02}" for day in range(1, 9)}
    assert len(files) == 5
    assert record.polls > 20
    assert [day.watched for day in record.days] == ["", "RETRAIN", "FAILED"]
    page = (tmp_path / "month.html").read_text()
    assert all(word in page for word in ("RETRAIN", "asked for a retraining", record.days[1].date))


def test_a_month_has_thirty_days_and_every_event():
    days = days_of_month()
    assert [day.number for day in days] == list(range(1, 31))
    assert {day.event for day in days} == set(Event)
