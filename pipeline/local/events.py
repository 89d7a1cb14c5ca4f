"""What happens in a local run: its steps start, get on, and end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepStarted:
    step: str


@dataclass(frozen=True)
class StepProgress:
    """``share`` of the step's work that is done, 0 to 1, and a few words on it."""

    step: str
    fraction: float
    what: str


@dataclass(frozen=True)
class StepEnded:
    step: str
    succeeded: bool


Event = StepStarted | StepProgress | StepEnded
