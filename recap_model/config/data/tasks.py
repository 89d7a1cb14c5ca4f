"""The section `tasks`: each task's label column, sampling rates and weight in the score."""

from pydantic import Field

from recap_model.config.base import StrictModel
from recap_model.config.fields.names import ColumnName, TaskName
from recap_model.config.fields.numbers import Coefficient, SamplingRate


class TaskConfig(StrictModel):
    """One engagement: its label column, its weight in the score, the sampling its log went through."""

    label: ColumnName | None = Field(
        None, description="column of labels, 0, 1 or null; the task's name if not given"
    )
    given: TaskName | None = Field(
        None,
        description="task without which this one cannot happen, as no reply is without a click: the model then "
        "multiplies this tower's probability by that task's",
    )
    score_weight: Coefficient = Field(1.0, description="weight of this probability in a row's score")
    pos_downsampling_rate: SamplingRate = Field(1.0, description="sampling rate of the positives in the log")
    neg_downsampling_rate: SamplingRate = Field(1.0, description="sampling rate of the negatives in the log")
