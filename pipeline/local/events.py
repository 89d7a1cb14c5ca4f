"""Events of a local run: a step starts, makes progress, ends."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepStarted:
    step: str


@dataclass(frozen=True)
class StepProgress:
    """``share`` of the step's work that is done, 0 to 1, and a short description."""

    step: str
    fraction: float
    what: str


@dataclass(frozen=True)
class StepEnded:
    step: str
    succeeded: bool


Event = StepStarted | StepProgress | StepEnded
