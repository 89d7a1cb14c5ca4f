"""Rules about partitions and files: rows, copies, missing days."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from components.validate.checks.rule import CheckedLog, Fact, Figure, Rule, Words


@dataclass(frozen=True, kw_only=True)
class Partition(Fact):
    """A partition that was read."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class File(Fact):
    """A file with rows, the first file of the same content, and how many others have that content."""

    rows: int
    twin: str
    copies: int


@dataclass(frozen=True, kw_only=True)
class Day(Fact):
    """A day of the window, and its partitions."""

    partitions: int


class PartitionRows(Rule[Partition]):
    """A partition has enough rows."""

    name, severity = "partition_rows", "critical"
    bounds = ("min_rows_per_partition",)
    implies = ("partition_rows_drift",)

    def facts(self, log: CheckedLog) -> Iterator[Partition]:
        for name, part in log.profile.partitions.items():
            if name not in log.unread:
                yield Partition(about=name, rows=part.rows)

    def figure(self, fact: Partition, log: CheckedLog) -> Figure:
        return Figure(fact.rows, lowest=log.config.validation.min_rows_per_partition)

    def words(self, fact: Partition, log: CheckedLog) -> Words:
        allowed = (
            f"at least {log.config.validation.min_rows_per_partition:,} (validation.min_rows_per_partition)"
        )
        return Words(fact.about, f"has {fact.rows:,} rows", "", allowed, "write the partition, or remove it")


class FilesDistinct(Rule[File]):
    """No two files have the same content."""

    name, severity = "files_distinct", "critical"
    implies = ("rows_distinct", "partition_rows_drift")

    def facts(self, log: CheckedLog) -> Iterator[File]:
        files = [file for part in log.snapshot.partitions for file in part.files if file.rows]
        copies = Counter(file.sha256 for file in files)
        first: dict[str, str] = {}
        for file in files:
            twin = first.setdefault(file.sha256, file.path)
            more = copies[file.sha256] - 1 if twin != file.path else 0
            yield File(about=file.path, rows=file.rows, twin=twin, copies=more)

    def figure(self, fact: File, log: CheckedLog) -> Figure:
        return Figure(fact.copies, highest=0)

    def words(self, fact: File, log: CheckedLog) -> Words:
        observed = f"has the same {fact.rows:,} rows as {fact.twin}"
        return Words(fact.about, observed, "", "a row is logged once", "remove one of the files")


class DaysPresent(Rule[Day]):
    """Every day of the window has a partition."""

    name, severity = "days_present", "warning"

    def facts(self, log: CheckedLog) -> Iterator[Day]:
        snapshot = log.snapshot
        found = Counter(part.name.partition("/")[0].removeprefix("date=") for part in snapshot.partitions)
        for offset in range((snapshot.last_day - snapshot.first_day).days + 1):
            day = (snapshot.first_day + timedelta(days=offset)).isoformat()
            yield Day(about=day, partitions=found[day])

    def figure(self, fact: Day, log: CheckedLog) -> Figure:
        return Figure(fact.partitions, lowest=1)

    def words(self, fact: Day, log: CheckedLog) -> Words:
        advice = "data.tolerated_missing_days lets it pass"
        return Words(f"date={fact.about}", "has no partition", "", "", advice)


RULES: tuple[Rule[Partition] | Rule[File] | Rule[Day], ...] = (
    PartitionRows(),
    FilesDistinct(),
    DaysPresent(),
)
