"""The output of validate as later steps read it: whether the snapshot passed, and its drift."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from components.common.artifacts.snapshot import MANIFEST_NAME, LogFile, Snapshot
from recap_model.config.reading.errors import printable
from recap_model.json_files import read_model

RESULT_NAME = "verdict.json"
_LEAK_RULES = ("label_leak", "label_only_column")

OUTCOMES_IN_WORDS = {"passed": "passed", "warnings": "passed, with warnings", "failed": "failed"}
DRIFT_IN_WORDS = {
    "drifted": "beyond the bounds",
    "within_bounds": "within the bounds",
    "no_baseline": "not compared",
}


class _Part(BaseModel):
    """Part of ``verdict.json``; fields that later steps do not need are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class DriftSummary(_Part):
    """A comparison of the log with a reference; without a reference, the reason.

    Attributes:
        compared: number of compared columns; ``beyond`` of them are beyond a bound.
        new: columns that the reference does not have.
    """

    state: Literal["no_baseline", "within_bounds", "drifted"]
    against: str
    reason: str = ""
    compared: NonNegativeInt = 0
    beyond: NonNegativeInt = 0
    new: list[str] = []


class RuleResult(_Part):
    """A rule's result, and if it failed its subject, what was observed, and the line for a person."""

    rule: str
    success: bool
    line: str
    subject: str = ""
    observed: str = ""


class ValidationResultFile(_Part):
    """The part of ``verdict.json`` that later steps read: drift, training-serving skew, and leaks.

    ``column_auc`` has for each task the columns with the highest AUC of their own.
    """

    snapshot: str
    verdict: Literal["passed", "warnings", "failed"]
    drift: DriftSummary
    skew: DriftSummary | None = None
    rules: list[RuleResult]
    column_auc: dict[str, list[tuple[str, float]]] = {}

    def leaks(self, task: str) -> list[str]:
        """What validate says of columns that decide a task's label, or have values in its positives only."""
        return [
            result.observed.rstrip(",")
            for result in self.rules
            if not result.success and result.rule in _LEAK_RULES and result.subject == f"task {task}"
        ]

    def describe_columns(self, task: str) -> str:
        """The columns that alone tell most of a task's label, with their AUC."""
        return ", ".join(f"{column} ({auc:.4f})" for column, auc in self.column_auc.get(task, []))


class FileContent(_Part):
    """What validate read of one file: its rows, and its SHA-256 if its store keeps no versions."""

    rows: NonNegativeInt
    sha256: str


class _Passed(_Part):
    """The manifest, which validate writes last and only for a log that passed."""

    snapshot: str
    files: dict[str, FileContent]


def file_contents(snapshot: Snapshot) -> dict[str, dict[str, int | str]]:
    """The field ``files`` of validate's manifest, by path."""
    return {file.path: {"rows": file.rows, "sha256": file.sha256} for file in snapshot.files}


def check_validated(validated: str | Path, snapshot: Snapshot) -> Snapshot:
    """The snapshot with the rows and digests of its files, as validate read them.

    Raises FileNotFoundError or ValueError unless this snapshot passed validate.
    """
    path = Path(validated) / MANIFEST_NAME
    passed = read_model(path, _Passed, "validate")
    if passed.snapshot != snapshot.digest:
        raise ValueError(
            f"{path}: belongs to another snapshot ({printable(passed.snapshot[:12])}); run validate on this one"
        )
    if missing := [file.path for file in snapshot.files if file.path not in passed.files]:
        raise ValueError(f"{path}: has no entry for {printable(missing[0])}; run validate again")

    def complete(file: LogFile) -> LogFile:
        content = passed.files[file.path]
        return file.model_copy(update={"row_count": content.rows, "sha256": content.sha256})

    return snapshot.with_files(complete)


def read_validation_result(validated: str | Path, snapshot: Snapshot) -> ValidationResultFile:
    """The result of a snapshot that passed. Raises FileNotFoundError or ValueError, which name the file."""
    check_validated(validated, snapshot)
    path = Path(validated) / RESULT_NAME
    result = read_model(path, ValidationResultFile, "validate")
    if result.snapshot != snapshot.digest:
        raise ValueError(
            f"{path}: belongs to another snapshot ({printable(result.snapshot[:12])}); run validate on this one"
        )
    return result
