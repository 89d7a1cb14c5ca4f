"""How far a log may be from the one that the champion was trained on, and from what is served."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from recap_model.config.base import Config
from recap_model.config.uris import Address

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Severity = Literal["critical", "warning"]

# Drift is from the profile that the champion was registered with, skew from the serving log.
DriftRule = Literal[
    "column_drift",
    "missing_rate_drift",
    "task_rate_drift",
    "task_null_rate_drift",
    "partition_rows_drift",
    "column_skew",
    "missing_rate_skew",
]


class DriftBounds(Config):
    """Bounds of one feature column; those not given are the section's own."""

    max_psi: PositiveFloat | None = None
    max_js: PositiveFloat | None = None
    max_ks: PositiveFloat | None = None
    max_mean_shift: PositiveFloat | None = None
    max_vanished_share: Rate | None = None
    max_missing_rate_change: Rate | None = None


class DriftConfig(Config):
    """Bounds on the change of each column, over the window and on each of its days.

    More is allowed where chance explains more at a column's number of rows, and where the champion's own days differ
    more from one another: twice as much as they do.
    """

    max_psi: PositiveFloat = Field(
        0.3,
        description="population stability index over tenths of the baseline's rows; its top values, of ids",
    )
    max_js: PositiveFloat = Field(
        0.05, description="Jensen-Shannon divergence over the same classes, in bits, 0 to 1"
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
        0.1, description="of a feature's or a task's share of missing values"
    )
    max_positive_rate_change: NonNegativeFloat = Field(
        0.3, description="of a task's positive rate, as a share of the baseline's"
    )
    max_rows_change: NonNegativeFloat = Field(
        0.5,
        description="a day may have this share more rows than the champion's largest day, or its smallest this "
        "share more than the day",
    )
    ignore: list[str] = Field([], description="feature columns that are expected to move, as a day's number")
    columns: dict[str, DriftBounds] = Field({}, description="bounds of single feature columns")
    severity: dict[DriftRule, Severity] = Field(
        {}, description="critical stops the run; warning, the default of each, shows"
    )
    serving_log: Address | None = Field(
        None,
        min_length=1,
        description="pattern of Parquet files with the features as they were served, as serving/date=*/*.parquet",
    )
