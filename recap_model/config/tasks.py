"""What the model predicts: a task for each engagement, bound by name to a column of labels."""

from typing import Annotated

from pydantic import AfterValidator, Field

from recap_model.config.base import Config


def _survives_sanitizing(name: str) -> str:
    if not name or name.replace(".", "__").replace("__", ".") != name:
        raise ValueError(
            f"{name!r} is no task name: modules store '.' as '__', and this name would not survive "
            "the round trip; use no '__' and no '_' beside a '.'"
        )
    return name


TaskName = Annotated[str, AfterValidator(_survives_sanitizing)]
SamplingRate = Annotated[float, Field(gt=0.0, le=1.0)]


class TaskConfig(Config):
    """One engagement: its label column, its weight in the score, the sampling its log went through."""

    label: str | None = Field(
        None, description="column of labels, 0, 1 or null; the task's name if not given"
    )
    given: TaskName | None = Field(
        None,
        description="task without which this one cannot happen, as no reply is without a click: the model then "
        "multiplies this tower's probability by that task's",
    )
    score_weight: float = Field(1.0, description="weight of this probability in a row's score")
    pos_downsampling_rate: SamplingRate = Field(
        1.0, description="share of the positives that the log still holds"
    )
    neg_downsampling_rate: SamplingRate = Field(
        1.0, description="share of the negatives that the log still holds"
    )
