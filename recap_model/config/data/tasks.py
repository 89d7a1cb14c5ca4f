"""The section `tasks`: each task's label, sampling rates and weight in the score."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.data.labels import ColumnOrRule, LabelRule, LabelWindow, TaskOrRule, conditions
from recap_model.config.fields.names import TaskName
from recap_model.config.fields.numbers import Coefficient, PositiveFloat, SamplingRate


class ScoreTerm(StrictModel):
    """A term of a row's score beside the tasks' own: a weight times the product of several tasks' predictions."""

    weight: Coefficient = Field(description="factor of the product")
    of: list[TaskName] = Field(min_length=2, description="tasks whose predictions are multiplied")

    @model_validator(mode="after")
    def _distinct_tasks(self) -> Self:
        if len(set(self.of)) < len(self.of):
            raise ValueError(f"of: {', '.join(self.of)}: a task is named twice; name each once")
        return self


class TaskConfig(StrictModel):
    """One engagement: its label, its weight in the score, the sampling its log went through.

    A task of kind ``value`` predicts an amount of 0 or more, such as seconds: ``cap * sigmoid(logit)`` with a cap,
    ``scale * softplus(logit)`` without.
    """

    kind: Literal["binary", "value"] = Field(
        "binary", description="binary predicts a probability, value an amount"
    )
    loss: Literal["huber", "mae", "mse", "tweedie"] | None = Field(
        None, description="of a value task; huber if not given"
    )
    power: Annotated[float, Field(gt=1.0, lt=2.0)] | None = Field(
        None, description="of Tweedie's variance function; 1.5 if not given"
    )
    cap: PositiveFloat | None = Field(
        None, description="of a value task: labels above count as the cap, and no prediction exceeds it"
    )
    scale: PositiveFloat | None = Field(
        None,
        description="of a value task: a typical value, the unit of the loss; a tenth of the cap if not given",
    )

    label: ColumnOrRule | None = Field(
        None, description="column of labels, 0, 1 or null, or a rule; the task's name if not given"
    )
    within: LabelWindow | None = Field(
        None, description="time in which an engagement counts; that of data.rectify_labels if not given"
    )
    unless: TaskOrRule | None = Field(
        None, description="task or rule where a positive counts as 0, as a like of a post that was reported"
    )
    only_where: TaskOrRule | None = Field(
        None,
        description="task or rule without which a row does not count for this task, in training, calibration or "
        "metrics",
    )
    given: TaskName | None = Field(
        None,
        description="task without which this one cannot happen, as no reply is without a click: the model then "
        "multiplies this tower's probability by that task's",
    )
    score_weight: Coefficient = Field(1.0, description="weight of this probability in a row's score")
    pos_downsampling_rate: SamplingRate = Field(1.0, description="sampling rate of the positives in the log")
    neg_downsampling_rate: SamplingRate = Field(1.0, description="sampling rate of the negatives in the log")

    @model_validator(mode="after")
    def _settings_of_its_kind(self) -> Self:
        if self.kind == "binary":
            for name in ("loss", "power", "cap", "scale"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name}: of a value task; give kind: value, or remove it")
            return self
        if isinstance(self.label, LabelRule):
            raise ValueError(
                "label: a rule is true or false; the label of a value task is a column of numbers"
            )
        if self.given is not None:
            raise ValueError(
                "given: of a binary task; multiply predictions by score_terms, or give only_where"
            )
        if self.power is not None and self.loss != "tweedie":
            raise ValueError("power: of the loss tweedie; remove it, or give loss: tweedie")
        if self.cap is None and self.scale is None:
            raise ValueError("scale: is required without a cap: a typical value, as 30 for seconds on a page")
        for name in ("pos_downsampling_rate", "neg_downsampling_rate"):
            if getattr(self, name) != 1.0:
                raise ValueError(
                    f"{name}: of a binary task; give the rows' sampling as weights (features.weight)"
                )
        return self

    @property
    def value_scale(self) -> float | None:
        """The typical value of a value task; None of a binary one."""
        if self.kind == "binary":
            return None
        return self.scale if self.scale is not None else (self.cap or 0.0) / 10.0

    def label_rule(self, task: str) -> ColumnOrRule:
        """The rule of its label, or the name of its label column."""
        return self.label or task

    def conditions(self, task: str) -> Iterator[tuple[str, LabelRule]]:
        """Each condition that its label is made of, with the field that it is from."""
        rules = {
            "label": self.label_rule(task),
            **{
                field: rule
                for field in ("unless", "only_where")
                if isinstance(rule := getattr(self, field), LabelRule)
            },
        }
        for field, rule in rules.items():
            yield from ((field, condition) for condition in conditions(rule))

    @property
    def has_derived_label(self) -> bool:
        """Whether the label is more than a column of the log, completed by `given` and rectified for all tasks."""
        settings = (self.within, self.unless, self.only_where)
        return not isinstance(self.label, str | None) or any(one is not None for one in settings)

    def describe_label(self, task: str) -> str:
        """The label in words, as ``dwell_s >= 10, unless report, only where click``."""
        words = str(self.label_rule(task))
        if self.within is not None:
            words += f", within {self.within.hours:g} hours of {self.within.of}"
        if self.unless is not None:
            words += f", unless {self.unless}"
        return words if self.only_where is None else f"{words}, only where {self.only_where}"
