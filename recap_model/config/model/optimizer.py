"""The section `optimizer`: learning rate schedules and Adam, under the published field names."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from recap_model.config.base import StrictModel, exactly_one_of
from recap_model.config.fields.names import TaskName
from recap_model.config.fields.numbers import (
    Epsilon,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)


def _unit(steps: Any) -> str:
    if isinstance(steps, float) and steps < 1:
        return "fraction"
    return "auto" if steps == "auto" else "steps"


_Fraction = Annotated[float, Field(gt=0.0, lt=1.0), Tag("fraction")]
# A number of steps, or under 1 a fraction of the steps that the run takes.
Steps = Annotated[Annotated[PositiveInt, Tag("steps")] | _Fraction, Discriminator(_unit)]
Boundary = Annotated[Annotated[NonNegativeInt, Tag("steps")] | _Fraction, Discriminator(_unit)]
LastStep = Annotated[
    Annotated[PositiveInt, Tag("steps")] | _Fraction | Annotated[Literal["auto"], Tag("auto")],
    Discriminator(_unit),
]
_FRACTION = "; under 1, of the run's steps"


class PiecewiseConstantConfig(StrictModel):
    """A rate for each stretch of steps; one more value than boundaries."""

    learning_rate_boundaries: list[Boundary] = Field(
        description=f"steps from which the next rate holds{_FRACTION}"
    )
    learning_rate_values: list[NonNegativeFloat] = Field(description="rates, one more than boundaries")

    @model_validator(mode="after")
    def _lengths(self) -> "PiecewiseConstantConfig":
        boundaries = self.learning_rate_boundaries
        if len(self.learning_rate_values) != len(boundaries) + 1:
            raise ValueError("learning_rate_values needs one value more than learning_rate_boundaries")
        if sorted(set(boundaries)) != boundaries:
            raise ValueError("learning_rate_boundaries must rise")
        if len({0 < boundary < 1 for boundary in boundaries if boundary}) > 1:
            raise ValueError("learning_rate_boundaries: give steps, or fractions of the run, not both")
        return self


class LinearRampToConstantConfig(StrictModel):
    """From 0 to the rate in ``num_ramp_steps``, then constant."""

    learning_rate: PositiveFloat = Field(description="rate after the ramp")
    num_ramp_steps: Steps = Field(description=f"steps of the ramp{_FRACTION}")


class LinearRampToCosineConfig(StrictModel):
    """From 0 to the rate in ``num_ramp_steps``, then down a cosine to the final rate at ``final_num_steps``."""

    learning_rate: PositiveFloat = Field(description="highest rate, after the ramp")
    final_learning_rate: NonNegativeFloat = Field(description="rate at the end")
    num_ramp_steps: Steps = Field(description=f"steps of the ramp{_FRACTION}")
    final_num_steps: LastStep = Field(
        description="step from which the final rate holds; auto is the run's last step, under 1 a fraction of its "
        "steps. The run's steps are those of its epochs, max_steps at most; early stopping may end it before"
    )

    @model_validator(mode="after")
    def _order(self) -> "LinearRampToCosineConfig":
        ramp, final = self.num_ramp_steps, self.final_num_steps
        if final != "auto" and (ramp < 1) == (final < 1) and final <= ramp:
            raise ValueError("final_num_steps must be over num_ramp_steps")
        return self


class LearningRate(StrictModel):
    """A schedule: exactly one kind."""

    constant: PositiveFloat | None = Field(None, description="one rate for all steps")
    linear_ramp_to_constant: LinearRampToConstantConfig | None = None
    linear_ramp_to_cosine: LinearRampToCosineConfig | None = None
    piecewise_constant: PiecewiseConstantConfig | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "LearningRate":
        return exactly_one_of(
            self, "constant", "linear_ramp_to_constant", "linear_ramp_to_cosine", "piecewise_constant"
        )


class MultiTaskLearningRates(StrictModel):
    """A schedule for the backbone and one for each tower."""

    backbone_learning_rate: LearningRate | None = None
    tower_learning_rates: dict[TaskName, LearningRate]


class AdamConfig(StrictModel):
    """Adam (arXiv:1412.6980); decoupled weight decay (arXiv:1711.05101) where it is not 0."""

    beta_1: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.9, description="decay of the mean of gradients")
    beta_2: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.999, description="decay of the mean of squared gradients"
    )
    epsilon: Epsilon = Field(1e-7, description="added to the root of the mean square")
    weight_decay: NonNegativeFloat = Field(
        0.0, description="of weight matrices; never of biases, norms, embeddings"
    )


class EmbeddingsOptimizerConfig(StrictModel):
    """How embedding tables learn, small and large ones: only the entries that a batch reads are touched."""

    algorithm: Literal["rowwise_adagrad", "sgd"] = Field(
        "rowwise_adagrad",
        description="rowwise_adagrad keeps one sum of squares for each entry (arXiv:2104.05158)",
    )
    learning_rate: LearningRate
    epsilon: Epsilon = Field(1e-8, description="added to the root of the sum of squares")


class OptimizerConfig(StrictModel):
    """Adam, and either one learning rate or one for each tower; embedding tables may have a way of their own."""

    adam: AdamConfig = AdamConfig()
    embeddings: EmbeddingsOptimizerConfig | None = Field(
        None, description="of embedding tables; they learn with the rest, by Adam, if not given"
    )
    multi_task_learning_rates: MultiTaskLearningRates | None = None
    single_task_learning_rate: LearningRate | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "OptimizerConfig":
        return exactly_one_of(self, "multi_task_learning_rates", "single_task_learning_rate")
