"""The section `validation.drift`: bounds on drift from the champion's training log and the serving log."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.fields.numbers import NonNegativeFloat, PositiveFloat
from recap_model.config.fields.uris import Address

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Severity = Literal["critical", "warning"]

# Drift is from the profile that the champion was registered with, skew from the serving log.
DriftRule = Literal[
    "column_drift",
    "missing_rate_drift",
    "task_rate_drift",
    "task_mean_drift",
    "task_null_rate_drift",
    "partition_rows_drift",
    "column_skew",
    "missing_rate_skew",
]


class DriftBounds(StrictModel):
    """Bounds of a feature column's drift metrics: one field for each entry of validate's table of metrics."""

    max_psi: PositiveFloat = Field(
        0.3,
        description="population stability index over tenths of the baseline's rows; its top values, of ids",
    )
    max_ks: PositiveFloat = Field(
        0.15, description="Kolmogorov-Smirnov statistic of a column of numbers, 0 to 1"
    )
    max_mean_shift: PositiveFloat = Field(
        0.3, description="of a column of numbers, in standard deviations of the baseline"
    )
    max_vanished_share: Rate = Field(
        0.01, description="of the baseline's rows: with ids that were there on each of its days and are gone"
    )
    max_missing_rate_change: Rate = Field(
        0.1, description="of a feature's or a task's fraction of missing values"
    )


def _known_bound(name: str) -> str:
    if name not in DriftBounds.model_fields:
        raise ValueError(f"unknown bound; bounds: {', '.join(DriftBounds.model_fields)}")
    return name


_Bound = Annotated[str, AfterValidator(_known_bound)]
# Settings of earlier releases, which stored configs hold with their defaults.
_REMOVED = ("max_js",)


def _drop_removed(content: Any) -> Any:
    return {name: value for name, value in content.items() if name not in _REMOVED and value is not None}


class DriftConfig(DriftBounds):
    """Bounds on the change of each column, over the window and on each of its days.

    More is allowed where chance explains more at a column's number of rows, and where the champion's own days differ
    more from one another: twice as much as they do.
    """

    max_positive_rate_change: NonNegativeFloat = Field(
        0.3, description="of a task's positive rate, as a fraction of the baseline's"
    )
    max_mean_change: NonNegativeFloat = Field(
        0.3, description="of a value task's mean label, as a fraction of the baseline's"
    )
    max_rows_change: NonNegativeFloat = Field(
        0.5,
        description="a day may have this fraction more rows than the champion's largest day, or its smallest this "
        "fraction more than the day",
    )
    ignore: list[str] = Field([], description="feature columns that are expected to move, as a day's number")
    columns: dict[str, dict[_Bound, PositiveFloat]] = Field(
        {}, description="bounds of single feature columns, as {likes: {max_psi: 0.5}}"
    )
    severity: dict[DriftRule, Severity] = Field(
        {}, description="critical stops the run; warning, the default of each, shows"
    )
    serving_log: Address | None = Field(
        None,
        min_length=1,
        description="pattern of Parquet files with the features as they were served, as serving/date=*/*.parquet",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_removed(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        kept, columns = _drop_removed(content), content.get("columns")
        if isinstance(columns, Mapping):
            kept["columns"] = {
                name: _drop_removed(bounds) if isinstance(bounds, Mapping) else bounds
                for name, bounds in columns.items()
            }
        return kept

    def bounds_of(self, column: str) -> dict[str, float]:
        """Each bound of one feature column, by its field's name."""
        return {name: getattr(self, name) for name in DriftBounds.model_fields} | self.columns.get(column, {})
