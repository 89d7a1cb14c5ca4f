"""What is wrong with single files: one finding for each cause, with the first place and the number of others."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

FileRule = Literal[
    "file_readable",
    "file_unchanged",
    "column_present",
    "column_type",
    "list_width",
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
class Finding:
    """One cause in one column, task or file.

    Attributes:
        where: the first file, and the row group where a row is at fault.
        rows: rows at fault; 0 where the whole file is.
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
    def place(self) -> str:
        """Where, in words."""
        others = len(self.files) - 1
        rows = f" ({self.rows:,} row{'s' * (self.rows != 1)} in all)" if self.rows else ""
        return self.where + (f" and {others} more file{'s' * (others > 1)}" if others else "") + rows


class Findings:
    """Findings by cause, in the order in which they were met."""

    def __init__(self, found: Iterable[Finding] = ()) -> None:
        self._found = {(one.rule, one.subject, _cause(one.rule, one.observed)): one for one in found}

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
        """Note one more file, or rows of one, with a fault. A label's or list's first wrong value stands for all."""
        cause = _cause(rule, observed)
        where = file if row_group is None else f"{file}, row group {row_group}"
        finding = self._found.setdefault(
            (rule, subject, cause), Finding(rule, subject, observed, allowed, advice, where)
        )
        finding.rows += rows
        finding.files.add(file)

    def merge(self, later: "Findings") -> None:
        """Take in those of the next files."""
        for key, finding in later._found.items():
            first = self._found.setdefault(key, finding)
            if first is not finding:
                first.rows += finding.rows
                first.files |= finding.files

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)


def _cause(rule: FileRule, observed: str) -> str:
    """What tells a cause from another in the same column; elsewhere the first wrong value stands for all."""
    return observed if rule == "column_type" else ""
