"""The invariants of a month."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from components.common import registry
from components.common.artifacts.snapshot import Snapshot
from tests.integration.month.days import Event
from tests.integration.month.simulate import NAME, DayRecord, Month, MonthRecord

# The first days fill the workspace and the caches; after them nothing may grow.
_SETTLED_AFTER_DAYS = 6
_GROWTH = 1.25


def violations(month: Month, record: MonthRecord) -> list[str]:
    """Each violated invariant, in a sentence."""
    return [
        *_days_without_decision(month, record),
        *(line for day in record.days for line in _event_violations(day, month)),
        *_champion_violations(record),
        *_growth(record, "workspace_mib"),
        *_growth(record, "peak_mib"),
        *_lineage_violations(month),
    ]


def _days_without_decision(month: Month, record: MonthRecord) -> Iterator[str]:
    if [day.number for day in record.days] != [day.number for day in month.days]:
        yield f"{len(record.days)} days are recorded of {len(month.days)}"
    for day in record.days:
        if not day.attempts or not all(attempt.reason for attempt in day.attempts):
            yield f"day {day.number}: no decision, or one without a reason"


def _event_violations(day: DayRecord, month: Month) -> Iterator[str]:
    caught = {Event.BROKEN_PARTITION: "FAILED"}
    caught |= dict.fromkeys((Event.MIXED_FEATURES, Event.LOST_LABELS), "RETRAIN")
    if day.watched and day.watched != caught.get(Event(day.event), "OK"):
        yield f"day {day.number} ({day.event or 'nothing'}): the watch came to {day.watched}"
    outcomes = [attempt.outcome for attempt in day.attempts]
    promoted = sum(attempt.promoted for attempt in day.attempts)
    first = day.attempts[0].reason
    match Event(day.event):
        case Event.BROKEN_PARTITION:
            if outcomes != ["FAILED"] or f"date={day.date}" not in first:
                yield f"day {day.number}: a file that is cut off was not refused by its name: {first}"
        case Event.REGISTRY_DOWN:
            if outcomes[0] != "FAILED" or month.registry_uri not in first or outcomes[1] == "FAILED":
                yield f"day {day.number}: {outcomes} while the registry was down: {first}"
        case Event.KILLED:
            if outcomes[0] != "FAILED" or outcomes[1] == "FAILED":
                yield f"day {day.number}: {outcomes} after a kill: {day.attempts[-1].reason}"
        case Event.WORSE_CANDIDATE:
            if outcomes != ["HOLD"]:
                yield f"day {day.number}: a model of five steps came to {outcomes}"
        case Event.TWO_AT_ONCE:
            if promoted != 1 or "FAILED" in outcomes:
                yield f"day {day.number}: of two runs at once {promoted} promoted: {outcomes}"
        case Event.ROLLBACK:
            if day.champion == day.attempts[-1].version:
                yield f"day {day.number}: version {day.champion} is champion in spite of the rollback"
        case _:
            if "FAILED" in outcomes:
                yield f"day {day.number}: {first}"


def _champion_violations(record: MonthRecord) -> Iterator[str]:
    versions = [seen.version for seen in record.seen]
    after = versions[1:] if versions and versions[0] is None else versions
    if not after:
        yield "no champion was ever seen"
    if None in after:
        yield f"there was a time without a champion: {versions}"
    moved = iter([move.to for move in record.promotions])
    if not all(version in moved for version in after):
        recorded = [move.to for move in record.promotions]
        yield f"champions {after} were seen, which is not the order of the recorded moves {recorded}"


def _growth(record: MonthRecord, what: str) -> Iterator[str]:
    def most(day: DayRecord) -> float:
        return day.workspace_mib if what == "workspace_mib" else max(one.peak_mib for one in day.attempts)

    early, late = record.days[:_SETTLED_AFTER_DAYS], record.days[_SETTLED_AFTER_DAYS:]
    if late and max(map(most, late)) > _GROWTH * max(map(most, early)):
        yield f"{what} grew from {max(map(most, early)):.0f} to {max(map(most, late)):.0f}"


def _lineage_violations(month: Month) -> Iterator[str]:
    """The champion's files, by the list that its version holds, must be the log's."""
    for path, digest in champion_files(month):
        file = month.log.root / path
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            yield f"{path}: is not the file that the champion was trained on"


def champion_files(month: Month) -> list[tuple[str, str]]:
    """Every file of the log, with its SHA-256, that the champion comes from, as the registry tells it."""
    client = registry.connect(month.registry_uri)
    champion = registry.champion(client, NAME)
    if champion is None:
        return []
    with tempfile.TemporaryDirectory() as temporary:
        folder = registry.fetch(client, NAME, champion.version, Path(temporary) / "version")
        snapshot = Snapshot.model_validate_json((folder / registry.SNAPSHOT_PATH).read_text())
    return [(file.path, file.sha256) for part in snapshot.partitions for file in part.files]
