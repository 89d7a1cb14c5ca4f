"""Rules about partitions and files: rows, copies, missing days."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from components.common.artifacts.snapshot import LogFile
from components.validate.checks.rule import CheckedLog, Fact, FailureText, Figure, Rule


@dataclass(frozen=True, kw_only=True)
class Partition(Fact):
    """A partition that was read."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class File(Fact):
    """A file with rows, the first file with the same content, and the number of other files with it."""

    rows: int
    first_path: str
    copies: int


@dataclass(frozen=True, kw_only=True)
class Day(Fact):
    """A day of the window, and its partitions."""

    partitions: int

    @property
    def location(self) -> str:
        return f"date={self.subject}"


class PartitionRows(Rule[Partition]):
    """A partition has enough rows."""

    name, severity = "partition_rows", "critical"
    bounds = ("min_rows_per_partition",)
    implies = ("partition_rows_drift",)

    def facts(self, log: CheckedLog) -> Iterator[Partition]:
        for name, partition in log.profile.partitions.items():
            if name not in log.unread:
                yield Partition(subject=name, rows=partition.rows)

    def figure(self, fact: Partition, log: CheckedLog) -> Figure:
        return Figure(fact.rows, lowest=log.config.validation.min_rows_per_partition)

    def describe(self, fact: Partition, log: CheckedLog) -> FailureText:
        allowed = log.describe_bound("at least {:,}", "min_rows_per_partition")
        return FailureText(
            fact.subject, f"has {fact.rows:,} rows", "", allowed, "write the partition, or remove it"
        )


class FilesDistinct(Rule[File]):
    """No two files have the same content."""

    name, severity = "files_distinct", "critical"
    implies = ("rows_distinct", "partition_rows_drift")

    def facts(self, log: CheckedLog) -> Iterator[File]:
        files = [file for partition in log.snapshot.partitions for file in partition.files if file.rows]
        copies = Counter(map(_content, files))
        first: dict[tuple[int, str], str] = {}
        for file in files:
            first_path = first.setdefault(_content(file), file.path)
            others = copies[_content(file)] - 1 if first_path != file.path else 0
            yield File(subject=file.path, rows=file.rows, first_path=first_path, copies=others)

    def figure(self, fact: File, log: CheckedLog) -> Figure:
        return Figure(fact.copies, highest=0)

    def describe(self, fact: File, log: CheckedLog) -> FailureText:
        observed = f"has the same {fact.rows:,} rows as {fact.first_path}"
        return FailureText(fact.subject, observed, "", "a row is logged once", "remove one of the files")


def _content(file: LogFile) -> tuple[int, str]:
    """Equal for files of the same content; an ETag is, if both were uploaded in the same way."""
    return file.bytes, file.sha256 or file.identity


class DaysPresent(Rule[Day]):
    """Every day of the window has a partition."""

    name, severity = "days_present", "warning"

    def facts(self, log: CheckedLog) -> Iterator[Day]:
        snapshot = log.snapshot
        partitions = Counter(
            partition.name.partition("/")[0].removeprefix("date=") for partition in snapshot.partitions
        )
        for offset in range((snapshot.last_day - snapshot.first_day).days + 1):
            day = (snapshot.first_day + timedelta(days=offset)).isoformat()
            yield Day(subject=day, partitions=partitions[day])

    def figure(self, fact: Day, log: CheckedLog) -> Figure:
        return Figure(fact.partitions, lowest=1)

    def describe(self, fact: Day, log: CheckedLog) -> FailureText:
        advice = "data.tolerated_missing_days lets it pass"
        return FailureText(f"date={fact.subject}", "has no partition", "", "", advice)


RULES: tuple[Rule[Partition] | Rule[File] | Rule[Day], ...] = (
    PartitionRows(),
    FilesDistinct(),
    DaysPresent(),
)
