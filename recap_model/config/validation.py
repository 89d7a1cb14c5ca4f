"""What the log must look like before anything is trained on it."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from recap_model.config.base import Config

Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class ValidationConfig(Config):
    """Bounds on the profile of the window. A critical failure stops the run, a warning is shown."""

    min_rows_per_partition: PositiveInt = 1
    max_null_rate: Rate = Field(0.5, description="of a feature column, over the window")
    max_non_finite_rate: Rate = Field(0.05, description="of a float feature column: NaN and infinities")
    min_positives: PositiveInt = Field(1, description="of each task, over the window")
    max_positive_rate_change: NonNegativeFloat = Field(
        0.5, description="a task's rate on a day may differ from the window's by this share of it"
    )
    severity: dict[str, Literal["critical", "warning"]] = Field(
        {}, description="severity of single rules by name, instead of their own"
    )
