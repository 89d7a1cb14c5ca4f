"""The section `validation`: bounds that a log must satisfy before training."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.fields.numbers import NonNegativeFloat, PositiveInt
from recap_model.config.fields.uris import RelativePath
from recap_model.config.steps.drift import DriftConfig, Rate, Severity

_BEYOND = 2**63

# The rules whose severity may be set. What prepare cannot read at all (a column that is not there or of another
# type, a list of another width, a label that is neither 0 nor 1) is critical and stays so.
RuleName = Literal[
    "partition_rows",
    "files_distinct",
    "days_present",
    "task_positives",
    "task_negatives",
    "task_rate_change",
    "task_null_rate_change",
    "value_range",
    "value_spread",
    "label_unit",
    "feature_missing",
    "feature_null_rate",
    "feature_null_rate_change",
    "feature_non_finite_rate",
    "feature_range",
    "feature_constant",
    "binary_values",
    "embedding_norm_change",
    "weight_values",
    "id_nulls",
    "timestamp_nulls",
    "timestamp_sentinels",
    "timestamp_unit",
    "timestamp_window",
    "timestamp_order",
    "rows_distinct",
    "sequence_future",
    "sequence_order",
    "label_leak",
    "label_only_column",
    "time_after_impression",
]


class ColumnBounds(StrictModel):
    """Bounds of one feature column; those not given are the section's own."""

    min: float | None = Field(None, description="no finite value is below")
    max: float | None = Field(None, description="no finite value is above")
    max_null_rate: Rate | None = Field(None, description="fraction of values that may be missing")
    max_non_finite_rate: Rate | None = Field(
        None, description="fraction of values that may be NaN or infinite"
    )

    @model_validator(mode="after")
    def _leave_room(self) -> "ColumnBounds":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; no value is between them")
        return self


def _writable(arguments: dict[str, Any]) -> dict[str, Any]:
    """Great Expectations takes what it is given as it is; texts and numbers must be such that they can be written."""
    left: list[Any] = [arguments]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError(f"{value[:80]!a}: a text with half a character; write it out")
        elif isinstance(value, int) and abs(value) >= _BEYOND:
            raise ValueError(f"a number of {value.bit_length()} bits; give one under 2**63")
    return arguments


class ExpectationConfig(StrictModel):
    """An expectation of Great Expectations, by its name and its arguments."""

    type: str = Field(pattern=r"^expect_[a-z0-9_]+$", description="as expect_column_values_to_be_between")
    kwargs: Annotated[dict[str, Any], AfterValidator(_writable)] = Field(
        {}, description="its arguments, as {column: likes, min_value: 0}"
    )
    severity: Severity = Field("warning", description="critical stops the run, warning shows")


class ValidationConfig(StrictModel):
    """Bounds on the profile of the window. A critical failure stops the run, a warning is shown."""

    min_rows_per_partition: PositiveInt = Field(1, description="fewest rows of a partition")
    max_null_rate: Rate = Field(
        0.5,
        description="of a feature column, over the window: null, NaN, the unknown id -1, an embedding of zeros",
    )
    max_null_rate_change: Rate = Field(
        0.25,
        description="a feature's or a task's null rate in a partition may differ from the window's by this much",
    )
    max_non_finite_rate: Rate = Field(0.05, description="of a float feature column: NaN and infinities")
    min_positives: PositiveInt = Field(1, description="of each task, over the window")
    max_positive_rate_change: NonNegativeFloat = Field(
        0.5, description="a task's rate in a partition may differ from the window's by this fraction of it"
    )
    max_norm_change: NonNegativeFloat = Field(
        0.5, description="an embedding's mean norm in a partition may differ by this fraction of the window's"
    )
    max_disordered_rate: Rate = Field(
        0.001, description="of a partition's rows: impressed or engaged before served"
    )
    max_disordered_history_rate: Rate = Field(
        0.0,
        description="of a partition's rows: a sequence with an event at or after the impression, or out of order",
    )
    max_outside_window_rate: Rate = Field(
        0.001, description="of a partition's rows: times in another unit, or over a day from the partition"
    )
    max_column_auc: Rate = Field(
        0.99, description="that a feature column alone may have for a task's label, in the sampled rows"
    )
    max_positive_rate_where_present: Rate = Field(
        0.99, description="of a task, among the sampled rows in which a column with missing values has one"
    )
    min_leak_positives: PositiveInt = Field(
        50,
        description="positives and negatives of a task in the sample under which these two are not checked",
    )
    max_time_after_impression_rate: Rate = Field(
        0.01,
        description="of the sampled rows: a time that features are computed from is after the impression",
    )
    columns: dict[str, ColumnBounds] = Field(
        {}, description="bounds of single feature columns; a list column's hold for each of its positions"
    )
    severity: dict[RuleName, Severity] = Field(
        {}, description="severity of single rules by name, instead of their own"
    )
    drift: DriftConfig = DriftConfig()
    expectations: list[ExpectationConfig] = Field(
        [], description="custom expectations, besides the rules; row-wise ones are checked on every row"
    )
    expectations_file: RelativePath | None = Field(
        None,
        description="a Python file beside the config, whose function expectations() returns a list of expectations",
    )
