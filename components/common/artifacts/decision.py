"""The gate's decision: outcome, rules, data and versions, sealed by a digest of its content."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from recap_model.config import StrictModel
from recap_model.json_files import read_model

DECISION_NAME = "decision.json"

Outcome = Literal["PROMOTE", "HOLD", "ERROR"]
RuleStatus = Literal["pass", "fail", "error", "warning", "skipped"]


class Rule(StrictModel):
    """One applied rule of the gate.

    ``value`` is what was measured, ``bound`` what is allowed, and ``words`` a sentence for a person that gives both.
    ``status`` is stored as ``verdict``; a warning does not hold the version.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    name: str
    task: str | None = None
    slice: str | None = None
    value: float | None = None
    bound: str = ""
    status: RuleStatus = Field(alias="verdict")
    words: str


class DecidedAgainst(StrictModel):
    """The version that was champion when the run began."""

    name: str
    version: str


class Anchor(DecidedAgainst):
    """The anchor, and whether the candidate is significantly better, so that it is the next anchor if promoted."""

    better: bool


class Decision(StrictModel):
    """Outcome and rules; ``digest`` is of everything else here.

    Attributes:
        reason: one sentence for a person.
        champion: the version compared with; None on a first run.
        anchor: the earlier champion that the candidate may not be worse than either; None without one.
        candidate: digest of the candidate's model folder.
        test_data: fingerprint of the rows that both were scored on.
        snapshot: digest of the run's data.
        policy: digest of the gate's config.
    """

    format: Literal["recap-decision/1"] = "recap-decision/1"
    outcome: Outcome
    reason: str
    rules: list[Rule]
    champion: DecidedAgainst | None
    anchor: Anchor | None = Field(None, exclude_if=lambda anchor: anchor is None)
    candidate: str
    test_data: str
    snapshot: str
    policy: str
    run_id: str
    digest: str = ""

    def seal(self) -> "Decision":
        """The same decision with its digest."""
        return self.model_copy(update={"digest": self.content_digest()})

    def content_digest(self) -> str:
        """SHA-256 of the canonical JSON of everything but the digest."""
        content = self.model_dump(mode="json", exclude={"digest"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @classmethod
    def read(cls, folder: str | Path) -> "Decision":
        """Read an evaluation's decision.

        Raises:
            FileNotFoundError: the folder has no decision.
            ValueError: the file is not a decision, or was changed after it was sealed.
        """
        path = Path(folder) / DECISION_NAME
        decision = read_model(path, cls, "evaluate")
        if decision.digest != decision.content_digest():
            raise ValueError(f"{path}: changed after it was decided; run evaluate again")
        return decision
