"""The section `calibration`: methods, and the counts that they require."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.fields.numbers import PositiveInt

CalibrationMethod = Literal["none", "temperature", "platt", "beta", "isotonic", "piecewise", "auto"]


class CalibrationConfig(StrictModel):
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
        description="a task whose labels in the calibration set are all equal, or all missing, ends the step, or "
        "keeps the analytic correction alone: of a rare task a small log may hold no positive on some day",
    )
    min_piecewise_positives: PositiveInt = Field(
        3000,
        description="`auto` leaves piecewise out for a task with fewer positives (or negatives): its many knots "
        "follow chance in the tails, where a wrong probability is dear",
    )
    folds: int = Field(5, ge=2, le=20, description="of the cross-validation; all rows of a user share one")
    knots: int = Field(32, ge=2, le=256, description="of the piecewise-linear map, at most")

    @model_validator(mode="before")
    @classmethod
    def _drop_removed(cls, content: Any) -> Any:
        # Configs that were stored with every default have this removed setting as null.
        if isinstance(content, Mapping) and content.get("by_value", ...) is None:
            return {name: value for name, value in content.items() if name != "by_value"}
        return content

    def method_of(self, task: str) -> CalibrationMethod:
        """The method for one task."""
        return self.tasks.get(task, self.method)
