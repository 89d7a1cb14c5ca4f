"""What validate leaves for later steps: that a snapshot's log may be used, and how far it has drifted."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from components.common.artifacts.snapshot import MANIFEST_NAME, Snapshot
from recap_model.config.errors import first_reason, printable

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


def check_validated(validated: str | Path, snapshot: Snapshot) -> None:
    """Raise FileNotFoundError or ValueError unless validate let this snapshot pass."""
    path = Path(validated) / MANIFEST_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there, so this log did not pass validation; run validate")
    try:
        digest = json.loads(path.read_text())["snapshot"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path}: not what validate writes; run validate again") from None
    if digest != snapshot.digest:
        raise ValueError(
            f"{path}: belongs to another snapshot ({printable(str(digest)[:12])}); run validate on this one"
        )


def read_verdict(validated: str | Path, snapshot: Snapshot) -> VerdictFile:
    """The verdict on a snapshot that passed. Raises FileNotFoundError or ValueError, which name the file."""
    check_validated(validated, snapshot)
    path = Path(validated) / VERDICT_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there; run validate again")
    try:
        verdict = VerdictFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path}: not a verdict: {first_reason(error)}; run validate again") from None
    if verdict.snapshot != snapshot.digest:
        raise ValueError(
            f"{path}: belongs to another snapshot ({printable(verdict.snapshot[:12])}); run validate on this one"
        )
    return verdict
