"""The section `evaluation`: metrics of the test set, and the promotion gate."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel, distinct_names
from recap_model.config.fields.names import ColumnName, Name
from recap_model.config.fields.numbers import Id, NonNegativeFloat, PositiveInt, Seed


class SliceConfig(StrictModel):
    """Metrics again for the rows whose discrete column has this value."""

    name: Name
    column: ColumnName
    value: Id


class Floors(StrictModel):
    """Absolute bounds on one task's calibrated probabilities; a bound that is not given is not checked."""

    min_auc: float | None = None
    min_rce: float | None = None
    calibration_ratio: tuple[float, float] | None = Field(
        None, description="bounds of predicted over observed"
    )
    max_ece: NonNegativeFloat | None = Field(None, description="debiased expected calibration error")

    @model_validator(mode="after")
    def _bounds_rise(self) -> "Floors":
        ratio = self.calibration_ratio
        if ratio is not None and ratio[0] > ratio[1]:
            raise ValueError(f"calibration_ratio: {list(ratio)}: the lower bound comes first")
        return self


class GateConfig(StrictModel):
    """The rules of the decision. A rule that cannot be computed says no."""

    min_rows: PositiveInt = 1000
    min_positives: PositiveInt = Field(
        50, description="a task with fewer test positives is reported but has no floors or comparison"
    )
    floors: Floors = Floors(min_rce=0.0, calibration_ratio=(0.8, 1.25))
    task_floors: dict[str, Floors] = {}
    max_rce_loss: NonNegativeFloat = Field(
        0.5, description="RCE points that a task's lower confidence bound may lie below the champion's"
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="of that bound, one-sided")
    min_slice_rows: PositiveInt = Field(
        100,
        description="a configured slice with fewer test rows is an error: it cannot be judged",
    )
    max_slice_rce_loss: NonNegativeFloat | None = Field(
        1.0,
        description="RCE points by which a slice may fall behind the champion; a significantly greater loss is a "
        "hold, at `confidence` over all slices (Holm)",
    )
    max_score_psi: NonNegativeFloat | None = Field(
        1.0,
        description="population stability index of the rows' scores against the champion's; more is a hold unless "
        "the labels significantly support the change",
    )
    max_top_k_change: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        None,
        description="fraction of the rows in the top k of their list that may be absent from the champion's",
    )
    promote_if: Literal["better", "no_worse"] = Field(
        "better",
        description="what a promotion requires besides non-inferiority: one objective significantly better, at "
        "`confidence` over all objectives (Holm); or nothing, so that the newest model that is no worse is promoted",
    )
    objectives: list[str] | None = Field(
        None, description="tasks of which one must be better than the champion's; all if not given"
    )
    first_run: Literal["floors_only", "require_approval"] = Field(
        "floors_only", description="what decides when there is no champion to compare with"
    )

    @model_validator(mode="after")
    def _has_floors(self) -> "GateConfig":
        floors = [self.floors, *self.task_floors.values()]
        if not any(value is not None for floor in floors for value in floor.model_dump().values()):
            raise ValueError(
                "floors: none is given, so a first run would pass whatever it is; give one at least"
            )
        return self


class EvaluationConfig(StrictModel):
    """Metrics, slices, confidence and the gate."""

    slices: list[SliceConfig] = []
    top_k: PositiveInt = Field(
        10, description="rows at the top of a request's (or user's) list that are looked at"
    )
    bootstrap_replicates: Annotated[int, Field(ge=1, le=100_000)] = 100
    seed: Seed = 5
    gate: GateConfig = GateConfig()

    @model_validator(mode="after")
    def _slices_differ(self) -> "EvaluationConfig":
        return distinct_names(self, "slices")
