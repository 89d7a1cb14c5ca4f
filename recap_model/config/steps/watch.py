"""The section `watch`: when the champion counts as decayed between two retrainings, and what follows."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.fields.numbers import NonNegativeFloat, PositiveFloat


class WatchConfig(StrictModel):
    """Bounds and policy of `recap watch`, which measures the champion on each newly labelled day.

    The bounds apply to `evaluation.gate.objectives`, or to every task if there are none.
    """

    label_delay_hours: NonNegativeFloat = Field(
        0.0, description="hours after the end of a day until its labels are complete"
    )
    max_rce_loss: NonNegativeFloat = Field(
        1.0,
        description="RCE points (of a value task, skill) below the champion's at its promotion that still count as "
        "good",
    )
    calibration_ratio: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.8, 1.25), description="bounds of predicted over observed"
    )
    false_alarm_rate: Annotated[float, Field(gt=0.0, le=0.5)] = Field(
        0.05,
        description="probability that a champion that stays as good is ever reported, over all days and tasks",
    )
    rce_variation: NonNegativeFloat = Field(
        0.5,
        description="standard deviation between days, in RCE or skill points, of a champion that stays as good; "
        "beside the sampling error of a day",
    )
    ratio_variation: NonNegativeFloat = Field(
        0.05, description="the same of the logarithm of predicted over observed"
    )
    on_decay: Literal["ask", "start"] = Field(
        "ask",
        description="a champion that decayed: ask for a retraining (exit status, webhook), or start one, which "
        "`recap watch` does on this machine",
    )
    on_better_version: Literal["ask", "roll_back"] = Field(
        "ask",
        description="a champion that decayed and a previous one that is better on the same rows, beyond the false "
        "alarm rate: ask a person, or roll back to it",
    )

    @model_validator(mode="after")
    def _ratio_rises(self) -> "WatchConfig":
        low, high = self.calibration_ratio
        if not low < 1.0 < high:
            raise ValueError(
                f"calibration_ratio: [{low:g}, {high:g}]: must contain 1; the lower bound comes first"
            )
        return self
