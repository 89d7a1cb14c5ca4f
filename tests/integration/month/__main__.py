"""Simulate a month: ``python -m tests.integration.month``; exit status 1 if an invariant is violated."""

import argparse
import sys
import time
from pathlib import Path

from components.common import registry
from components.common.history import write_history
from tests.integration.month.days import days_of_month
from tests.integration.month.invariants import violations
from tests.integration.month.simulate import NAME, DayRecord, Month


def main() -> int:
    """Simulate the days, print one line for each, write ``month.json`` and the model's history, ``month.html``."""
    parser = argparse.ArgumentParser(description="a month of retraining, with faults")
    parser.add_argument("--out", type=Path, default=Path(".recap-month"), help="a new or empty folder")
    parser.add_argument("--days", type=int, default=30)
    given = parser.parse_args()
    if given.out.exists() and any(given.out.iterdir()):
        parser.error(f"{given.out}: not empty; give a new or empty folder")
    began = time.monotonic()
    month = Month(given.out.resolve(), days_of_month(given.days))
    with month.registry():
        record = month.simulate(_print_day)
        broken = violations(month, record)
        write_history(registry.connect(month.registry_uri), NAME, given.out / "month.html")
    record.write(given.out / "month.json")
    for line in broken:
        print(f"violated: {line}", file=sys.stderr)
    print(f"{len(record.days)} days in {(time.monotonic() - began) / 60:.1f} min; {given.out / 'month.html'}")
    return 1 if broken else 0


def _print_day(day: DayRecord) -> None:
    for attempt in day.attempts:
        event = f" ({day.event})" if day.event else ""
        watched = f"watch {day.watched}, " if day.watched else ""
        print(
            f"{day.date}{event}: {watched}{attempt.outcome}, {attempt.reason}; champion {day.champion}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
