"""The section `evaluation`: metrics of the test set, and the promotion gate."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel, distinct_names
from recap_model.config.data.sequences import SequenceName
from recap_model.config.fields.names import ColumnName, Name
from recap_model.config.fields.numbers import Coefficient, Id, NonNegativeFloat, PositiveInt, Seed

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class SliceCondition(StrictModel):
    """Rows by one column (its value, a range of values, of quantiles, or that it is missing) or a sequence's length.

    A column is a feature, a derived column, or any other column of numbers, booleans or lists of the log; a list
    counts by its length. A row without a value is in no range.
    """

    column: ColumnName | None = Field(None, description="column that the condition is of")
    sequence: SequenceName | None = Field(None, description="instead of a column: its number of events")
    value: Id | None = Field(None, description="of a column of features.discrete")
    at_least: Coefficient | None = Field(None, description="lowest value, included")
    at_most: Coefficient | None = Field(None, description="highest value, included")
    between: tuple[Coefficient, Coefficient] | None = Field(
        None, description="lowest and highest value, both included"
    )
    quantiles: tuple[Fraction, Fraction] | None = Field(
        None,
        description="lowest quantile of the training rows, included, and highest, not included unless it is 1; the "
        "model keeps their values",
    )
    missing: bool | None = Field(None, description="rows without a value, or (false) those with one")

    @model_validator(mode="after")
    def _is_one_condition(self) -> Self:
        self._check_conditions()
        for name in ("between", "quantiles"):
            low, high = getattr(self, name) or (0.0, 1.0)
            if low > high or (low == high and name == "quantiles"):
                raise ValueError(f"{name}: [{low:g}, {high:g}] holds no row; the lower bound comes first")
        return self

    def _check_conditions(self) -> None:
        given = [name for name in _CONDITIONS if getattr(self, name) is not None]
        if (self.column is None) == (self.sequence is None):
            raise ValueError("column: is required; or give sequence")
        if len(given) != 1:
            names = ", ".join(_CONDITIONS)
            raise ValueError(f"exactly one of {names} must be given; got {', '.join(given) or 'none'}")
        if self.sequence is not None and given[0] not in _RANGES:
            raise ValueError(f"{given[0]}: of a sequence; its length has {', '.join(_RANGES)}")


_RANGES = ("at_least", "at_most", "between")
_CONDITIONS = ("value", "at_least", "at_most", "between", "quantiles", "missing")


class SliceConfig(SliceCondition):
    """Metrics again for some of the rows, by a condition or by several that all hold."""

    name: Name = Field(description="name of the slice")
    all_of: list[SliceCondition] | None = Field(None, min_length=1, description="conditions that all hold")
    min_rows: PositiveInt | None = Field(
        None, description="test rows under which the slice is an error; gate.min_slice_rows if not given"
    )

    def _check_conditions(self) -> None:
        if self.all_of is None:
            return super()._check_conditions()
        given = [name for name in ("column", "sequence", *_CONDITIONS) if getattr(self, name) is not None]
        if given:
            raise ValueError(f"{given[0]}: beside all_of; move it into all_of")

    @property
    def conditions(self) -> list[SliceCondition]:
        """What a row of the slice fulfils."""
        return [self] if self.all_of is None else self.all_of


class Floors(StrictModel):
    """Absolute bounds on one task's calibrated predictions; a bound that is not given is not checked."""

    min_auc: float | None = Field(None, description="lowest AUC, of a binary task")
    min_rce: float | None = Field(
        None, description="lowest relative cross-entropy, in per cent of the constant's, of a binary task"
    )
    min_xauc: float | None = Field(None, description="lowest XAUC, of a value task")
    min_skill: float | None = Field(
        None, description="lowest skill, in per cent of the constant's deviance, of a value task"
    )
    calibration_ratio: tuple[float, float] | None = Field(
        None, description="bounds of predicted over observed"
    )
    max_ece: NonNegativeFloat | None = Field(
        None, description="debiased expected calibration error, of a binary task"
    )

    @model_validator(mode="after")
    def _bounds_rise(self) -> "Floors":
        ratio = self.calibration_ratio
        if ratio is not None and ratio[0] > ratio[1]:
            raise ValueError(f"calibration_ratio: {list(ratio)}: the lower bound comes first")
        return self


# Floors that are of tasks of one kind.
FLOORS_BY_KIND = {"binary": ("min_auc", "min_rce", "max_ece"), "value": ("min_xauc", "min_skill")}


class GateConfig(StrictModel):
    """The rules of the decision. A rule that cannot be computed says no."""

    min_rows: PositiveInt = Field(1000, description="fewest test rows of a decision")
    min_positives: PositiveInt = Field(
        50, description="a task with fewer test positives is reported but has no floors or comparison"
    )
    floors: Floors = Floors(min_rce=0.0, min_skill=0.0, calibration_ratio=(0.8, 1.25))
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
        "no_worse",
        description="what a promotion requires besides non-inferiority to the champion: that the model is no worse "
        "than the anchor either, so that the newest model is promoted; or one objective significantly better, at "
        "`confidence` over all objectives (Holm)",
    )
    anchor_champions: PositiveInt | None = Field(
        30,
        description="with `promote_if: no_worse`, of this many last champions one is the anchor: the newest that "
        " was significantly better than the anchor of its time, else the oldest; null for no anchor",
    )
    suspicious: Literal["hold", "warn"] = Field(
        "hold",
        description="what metrics that are too good to be true do: an RCE over 95 %, or an AUC over .99 of a task "
        "that a column alone decides; they hold the version, or are only reported",
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

    @property
    def has_anchor(self) -> bool:
        """Whether a candidate is compared with an anchor besides the champion."""
        return self.promote_if == "no_worse" and self.anchor_champions is not None


class EvaluationConfig(StrictModel):
    """Metrics, slices, confidence and the gate."""

    slices: list[SliceConfig] = []
    top_k: PositiveInt = Field(
        10, description="rows at the top of a request's (or user's) list that are looked at"
    )
    bootstrap_replicates: Annotated[int, Field(ge=1, le=100_000)] = Field(
        100, description="resamples of users behind intervals"
    )
    seed: Seed = Field(5, description="of the resamples")
    gate: GateConfig = GateConfig()

    def slice_columns(self, quantiles_only: bool = False) -> list[str]:
        """Columns that slices read besides discrete features, each once."""
        conditions = [condition for one in self.slices for condition in one.conditions]
        return list(
            dict.fromkeys(
                condition.column
                for condition in conditions
                if condition.column is not None
                and condition.value is None
                and (condition.quantiles is not None or not quantiles_only)
            )
        )

    @model_validator(mode="after")
    def _slices_differ(self) -> "EvaluationConfig":
        return distinct_names(self, "slices")
