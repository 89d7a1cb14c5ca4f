"""The record of a watched day: what was measured of the champion, the evidence so far, and the outcome."""

from datetime import date
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.validation_result import DriftSummary
from recap_model.config import StrictModel

WatchOutcome = Literal["OK", "RETRAIN", "ROLL BACK"]


class Compared(StrictModel):
    """Another version's RCE (or skill) of a task on the day's rows, and its difference from the champion's.

    ``error`` is of the difference, paired by user. None where it is not defined.
    """

    gain: float | None = None
    difference: float | None = None
    error: float | None = None


class OtherVersion(StrictModel):
    """A version with another alias, on the day's rows; ``missing`` says why it cannot be compared."""

    version: str
    tasks: dict[str, Compared] = {}
    missing: str = ""


class TestedHypothesis(StrictModel):
    """The evidence, an e-value over all days, that a quantity of a task is beyond its bound; the day's own value."""

    task: str
    what: str
    value: float | None
    bound: float
    evidence: float


class Evidence(StrictModel):
    """The evidence of several hypotheses together; ``largest`` so far decides, once it is ``needed``.

    Attributes:
        days: whose rows it is of, this one included.
        now: an e-value; `components.watch.sequential`.
        sufficient_after: of how many of the days the evidence was sufficient for the first time; None if never.
    """

    days: NonNegativeInt
    now: float
    largest: float
    needed: float
    sufficient_after: PositiveInt | None = None
    hypotheses: list[TestedHypothesis]

    @property
    def suffices(self) -> bool:
        return self.sufficient_after is not None


class WatchRecord(StrictModel):
    """What `recap watch` found on one day with one version.

    Attributes:
        day_number: days since the newest one that the version was trained or tested on.
        snapshot: digest of the day's files.
        evaluation: of the version alone, by task and slice, with errors and bounds.
        others: by alias.
        drift: of the day against the version's profile.
        broken_rules: of validate, a line each.
        decay: the evidence that the version is worse than at its promotion.
        rollback: by alias ``previous``, the evidence that it is better than the version; None where not compared.
        action: what was done, in a sentence; empty if nothing was.
    """

    format: Literal["recap-watch/1"] = "recap-watch/1"
    name: str
    version: str
    day: date
    day_number: PositiveInt
    snapshot: str
    rows: NonNegativeInt
    evaluation: Evaluation
    others: dict[str, OtherVersion] = {}
    drift: DriftSummary
    broken_rules: list[str] = []
    decay: Evidence
    rollback: Evidence | None = None
    outcome: WatchOutcome
    reason: str
    action: str = Field("")
