"""The table of the pipeline's steps: the pipeline, the images and a cluster's settings read it."""

from dataclasses import dataclass, replace
from typing import Literal

Image = Literal["data", "trainer", "registry"]


@dataclass(frozen=True)
class Step:
    """A step of the pipeline.

    Attributes:
        name: of the folder under `components`, and of the kfp component in its `component.py`.
        title: as the pipeline's UI shows it.
        image: the kind of container image that has what the step imports.
        local_retries: how often it is run again on this machine; a cluster's file sets its own number.
    """

    name: str
    title: str
    image: Image
    local_retries: int = 0


STEPS = (
    Step("resolve", "Resolve window, files and champion", "registry"),
    Step("validate", "Validate the log", "data"),
    Step("prepare", "Prepare training, calibration and test sets", "data"),
    # A preempted process goes on from its checkpoint.
    Step("train", "Train the model", "trainer", local_retries=2),
    Step("calibrate", "Calibrate each task", "trainer"),
    Step("evaluate", "Evaluate and decide", "registry"),
    Step("register", "Register the version", "registry"),
    Step("promote", "Promote if the decision is yes", "registry"),
)
STEP_NAMES = tuple(step.name for step in STEPS)
WATCH = Step("watch", "Watch the champion", "registry")
NOTIFY = Step("notify", "Report how the run ended", "registry")

STEP_OF_NAME = {step.name: step for step in (*STEPS, WATCH, NOTIFY)}

# The steps of the other pipeline, which reads one day: the titles are those of a day.
WATCH_STEPS = (
    replace(STEP_OF_NAME["resolve"], title="Resolve day and champion"),
    replace(STEP_OF_NAME["validate"], title="Validate the day, and its drift"),
    replace(STEP_OF_NAME["prepare"], title="Prepare the day's rows"),
    WATCH,
)


def image_name(kind: Image) -> str:
    """The name of an image as `make images` builds it on this machine."""
    return f"recap-{kind}:latest"


def base_image(step: str) -> str:
    """The image of a step, by the step's name."""
    return image_name(STEP_OF_NAME[step].image)
