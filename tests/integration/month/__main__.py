"""Live through a month: ``python -m tests.integration.month``; exit status 1 if a thing does not hold."""

import argparse
import sys
import time
from pathlib import Path

from tests.integration.month.calendar import month as days_of
from tests.integration.month.check import violations
from tests.integration.month.page import month_page
from tests.integration.month.play import DayRecord, Month


def main() -> int:
    """Play the days, print one line for each, write ``month.html`` and ``month.json``."""
    parser = argparse.ArgumentParser(description="a month of retraining, with what goes wrong in a month")
    parser.add_argument("--out", type=Path, default=Path(".recap-month"), help="a new or empty folder")
    parser.add_argument("--days", type=int, default=30)
    given = parser.parse_args()
    if given.out.exists() and any(given.out.iterdir()):
        parser.error(f"{given.out}: not empty; give a new or empty folder")
    began = time.monotonic()
    month = Month(given.out.resolve(), days_of(given.days))
    with month.registry():
        record = month.play(_tell)
        broken = violations(month, record)
    record.write(given.out / "month.json")
    (given.out / "month.html").write_text(month_page(record, broken))
    for line in broken:
        print(f"does not hold: {line}", file=sys.stderr)
    print(f"{len(record.days)} days in {(time.monotonic() - began) / 60:.1f} min; {given.out / 'month.html'}")
    return 1 if broken else 0


def _tell(day: DayRecord) -> None:
    for attempt in day.attempts:
        event = f" ({day.event})" if day.event else ""
        print(f"{day.date}{event}: {attempt.outcome}, {attempt.reason}; champion {day.champion}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
