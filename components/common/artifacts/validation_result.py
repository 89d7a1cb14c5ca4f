"""What validate leaves for later steps: that a snapshot's log may be used, and how far it has drifted."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from components.common.artifacts.snapshot import MANIFEST_NAME, Snapshot
from recap_model.config.reading.errors import printable
from recap_model.json_files import read_model

VERDICT_NAME = "verdict.json"

OUTCOMES_IN_WORDS = {"passed": "passed", "warnings": "passed, with warnings", "failed": "failed"}
DRIFT_IN_WORDS = {
    "drifted": "beyond the bounds",
    "within_bounds": "within the bounds",
    "no_baseline": "not compared, which is no pass",
}


class _Part(BaseModel):
    """Part of a verdict; what else is in the file is for other readers."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Moved(_Part):
    """One column's distances from the reference, over the window or a day; null is not finite.

    Attributes:
        found, allowed: by figure: psi, js, ks, mean_shift, vanished, missing.
        missing: the share of missing values then, and now.
    """

    column: str
    where: str
    found: dict[str, float | None]
    allowed: dict[str, float | None]
    missing: tuple[float | None, float | None]


class Compared(_Part):
    """A comparison of the log with what it should be like; without a reference, the reason.

    Attributes:
        compared: columns that were; ``beyond`` of them are beyond a bound, and ``columns`` has those that moved
            furthest, in that order.
        new: columns that the reference does not have.
    """

    state: Literal["no_baseline", "within_bounds", "drifted"]
    against: str
    reason: str = ""
    compared: NonNegativeInt = 0
    beyond: NonNegativeInt = 0
    new: list[str] = []
    columns: list[Moved] = []


class RuleResult(_Part):
    """A rule that was held to the log, and its line for a person if it does not hold."""

    rule: str
    success: bool
    line: str


class VerdictFile(_Part):
    """The part of ``verdict.json`` that says how the log compares: with the champion's, and with what was served."""

    snapshot: str
    verdict: Literal["passed", "warnings", "failed"]
    drift: Compared
    skew: Compared | None = None
    rules: list[RuleResult]


class _Passed(_Part):
    """What validate writes last, of a log that passed."""

    snapshot: str


def check_validated(validated: str | Path, snapshot: Snapshot) -> None:
    """Raise FileNotFoundError or ValueError unless validate let this snapshot pass."""
    path = Path(validated) / MANIFEST_NAME
    digest = read_model(path, _Passed, "validate").snapshot
    if digest != snapshot.digest:
        raise ValueError(
            f"{path}: belongs to another snapshot ({printable(digest[:12])}); run validate on this one"
        )


def read_verdict(validated: str | Path, snapshot: Snapshot) -> VerdictFile:
    """The verdict on a snapshot that passed. Raises FileNotFoundError or ValueError, which name the file."""
    check_validated(validated, snapshot)
    path = Path(validated) / VERDICT_NAME
    verdict = read_model(path, VerdictFile, "validate")
    if verdict.snapshot != snapshot.digest:
        raise ValueError(
            f"{path}: belongs to another snapshot ({printable(verdict.snapshot[:12])}); run validate on this one"
        )
    return verdict
