"""Faults of single files, merged by cause: the first location, and the number of others."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

FileRule = Literal[
    "file_readable",
    "file_unchanged",
    "column_present",
    "column_type",
    "list_width",
    "sequence_lengths",
    "discrete_values",
    "label_values",
]
FILE_RULES: tuple[FileRule, ...] = get_args(FileRule)

IMPLIED_BY_FAULTS: dict[str, tuple[str, ...]] = {
    "discrete_values": ("column_drift", "column_skew"),
    "label_values": ("task_rate_change", "task_rate_drift"),
}
"""Rules on the profile whose failures a fault of a file explains, for the same column or task."""


@dataclass
class FileFault:
    """One cause in one column, task or file.

    Attributes:
        where: the first file, and the row group if rows are at fault.
        rows: number of rows at fault; 0 if the file itself is.
    """

    rule: FileRule
    subject: str
    observed: str
    allowed: str
    advice: str
    where: str
    rows: int = 0
    files: set[str] = field(default_factory=set)

    @property
    def location(self) -> str:
        """The first location and the number of others, as text."""
        others = len(self.files) - 1
        rows = f" ({self.rows:,} row{'s' * (self.rows != 1)} in all)" if self.rows else ""
        return self.where + (f" and {others} more file{'s' * (others > 1)}" if others else "") + rows


class FileFaults:
    """Faults by cause, in the order in which they were reported."""

    def __init__(self, faults: Iterable[FileFault] = ()) -> None:
        self._faults = {
            (fault.rule, fault.subject, _distinguish(fault.rule, fault.observed)): fault for fault in faults
        }

    def add(
        self,
        rule: FileRule,
        subject: str,
        observed: str,
        allowed: str,
        advice: str,
        *,
        file: str,
        row_group: int | None = None,
        rows: int = 0,
    ) -> None:
        """Record a fault of a file or of some of its rows. A label's or list's first wrong value represents all."""
        cause = _distinguish(rule, observed)
        where = file if row_group is None else f"{file}, row group {row_group}"
        fault = self._faults.setdefault(
            (rule, subject, cause), FileFault(rule, subject, observed, allowed, advice, where)
        )
        fault.rows += rows
        fault.files.add(file)

    def merge(self, later: "FileFaults") -> None:
        """Add the faults of later files."""
        for key, fault in later._faults.items():
            first = self._faults.setdefault(key, fault)
            if first is not fault:
                first.rows += fault.rows
                first.files |= fault.files

    def __iter__(self) -> Iterator[FileFault]:
        return iter(self._faults.values())

    def __len__(self) -> int:
        return len(self._faults)


def _distinguish(rule: FileRule, observed: str) -> str:
    """What distinguishes causes in the same column; elsewhere the first wrong value represents all."""
    return observed if rule == "column_type" else ""
