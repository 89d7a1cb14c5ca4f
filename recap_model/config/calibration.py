"""How each task's probability is calibrated on held-out rows."""

from typing import Literal

from pydantic import Field, PositiveInt

from recap_model.config.base import Config

CalibrationMethod = Literal["none", "platt"]


class CalibrationConfig(Config):
    """One method for all tasks, or one for each."""

    method: CalibrationMethod = "platt"
    tasks: dict[str, CalibrationMethod] = Field(
        {}, description="methods of single tasks, instead of `method`"
    )
    min_positives: PositiveInt = Field(
        100,
        description="a task with fewer positives in the calibration set keeps the analytic correction alone",
    )
