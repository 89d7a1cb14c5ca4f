"""How each task's probability is calibrated on held-out rows."""

from typing import Literal

from pydantic import Field, PositiveInt

from recap_model.config.base import Config

CalibrationMethod = Literal["none", "temperature", "platt", "beta", "isotonic", "piecewise", "auto"]


class CalibrateByValue(Config):
    """A scale and a bias of each task's calibrated logit for each value of a discrete column."""

    column: str = Field(description="one of features.discrete")
    max_values: int = Field(
        50,
        ge=1,
        le=1000,
        description="values that get one, the most frequent of the calibration set; the rest keep the common map",
    )


class CalibrationConfig(Config):
    """One method for all tasks, or one for each."""

    method: CalibrationMethod = Field(
        "auto",
        description="`auto` takes the simplest of none, temperature, platt, beta and piecewise whose "
        "cross-validated log loss is within half a standard error of the best one's",
    )
    tasks: dict[str, CalibrationMethod] = Field(
        {}, description="methods of single tasks, instead of `method`"
    )
    min_positives: PositiveInt = Field(
        30,
        description="a task with fewer positives (or negatives) in the calibration set keeps the analytic "
        "correction alone",
    )
    on_one_class: Literal["error", "keep"] = Field(
        "error",
        description="a task whose labels in the calibration set are all alike ends the step, or keeps the analytic "
        "correction alone: of a rare task a small log may hold no positive on some day",
    )
    min_piecewise_positives: PositiveInt = Field(
        3000,
        description="`auto` leaves piecewise out for a task with fewer positives (or negatives): its many knots "
        "follow chance in the tails, where a wrong probability is dear",
    )
    by_value: CalibrateByValue | None = Field(
        None,
        description="correct each task's map by the values of a column, drawn to the common map where rows are "
        "few, if cross-validation says that it helps; a task of method none, or of too few positives, is left out",
    )
    folds: int = Field(5, ge=2, le=20, description="of the cross-validation; all rows of a user share one")
    knots: int = Field(32, ge=2, le=256, description="of the piecewise-linear map, at most")

    def method_of(self, task: str) -> CalibrationMethod:
        """The method for one task."""
        return self.tasks.get(task, self.method)
