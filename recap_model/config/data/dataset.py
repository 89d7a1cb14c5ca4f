"""The section `data`: window, deduplication, sampling, and the split into training, calibration and test sets."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.data.engine import EngineConfig, LocalEngineConfig
from recap_model.config.fields.names import ColumnName
from recap_model.config.fields.numbers import (
    Days,
    Hours,
    NonNegativeInt,
    PositiveFloat,
    SamplingRate,
    Seed,
)

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class RectifyLabels(StrictModel):
    """A positive label stays only if impressed - served and engaged - served are both under a window."""

    window_hours: PositiveFloat = Field(3.0, description="length of the window")


class Deduplicate(StrictModel):
    """Of the rows with the same request and candidate one stays."""

    keep: Literal["first", "last"] = Field("first", description="of the rows, in the order of the log")


class NegativeDownsampling(StrictModel):
    """Training keeps every row that is positive for a listed task, and a fixed fraction of the others."""

    rate: SamplingRate = Field(description="fraction of the other rows that is kept")
    tasks: list[str] | None = Field(None, description="tasks whose positives are kept; all if not given")


class SplitByDays(StrictModel):
    """The newest days that have rows are the test set, the days before them the calibration set."""

    by: Literal["days"] = "days"
    calibration_days: Days = Field(1, description="days of the calibration set")
    test_days: Days = Field(1, description="days of the test set")


class _SplitByShares(StrictModel):
    by: str
    calibration_share: Share = Field(0.1, description="fraction of the rows in the calibration set")
    test_share: Share = Field(0.2, description="fraction of the rows in the test set")

    @model_validator(mode="after")
    def _leave_training_rows(self) -> Self:
        if self.calibration_share + self.test_share >= 1.0:
            raise ValueError("calibration_share + test_share must be under 1, or no row is left to train on")
        return self


class SplitByTime(_SplitByShares):
    """Rows in the order of their impression: last come the test rows, before them calibration."""

    by: Literal["time"]


class SplitByHash(_SplitByShares):
    """All rows of one id (a user, say) fall into the same set, by a hash of the id."""

    by: Literal["hash"]
    column: ColumnName = Field(description="column of ids")


class SplitByColumn(StrictModel):
    """The log says it itself: a string column holds train, calibration or test."""

    by: Literal["column"]
    column: ColumnName = Field(description="column that holds the set's name")


Split = Annotated[SplitByDays | SplitByTime | SplitByHash | SplitByColumn, Field(discriminator="by")]


class DataConfig(StrictModel):
    """From the log's partitions to three sets of rows."""

    days: Days = Field(7, description="days of log in the window, the end date included")
    hours: Hours | None = Field(
        None,
        description="hours of log in the window, instead of days, of a log with date=…/hour=… partitions",
    )
    tolerated_missing_hours: NonNegativeInt = Field(
        0, description="hours of a window of hours that may have no partition"
    )
    tolerated_missing_days: NonNegativeInt = Field(
        0, description="days of the window that may have no partition"
    )
    deduplicate: Deduplicate | None = None
    rectify_labels: RectifyLabels | None = None
    negative_downsampling: NegativeDownsampling | None = None
    sampling_correction: Literal["weights", "calibration"] = Field(
        "weights",
        description="the one place where down-sampling is undone: weights of training rows, or numeric "
        "calibration after the model",
    )
    split: Split = Field(
        SplitByDays(), description="into training, calibration and test rows: by days, time, hash or column"
    )
    collision_bound: Share = Field(
        0.2,
        description="collision rate of a hashed table's ids above which prepare and train warn",
    )
    seed: Seed = Field(17, description="of sampling, splitting by hash and shuffling")
    engine: EngineConfig = Field(
        LocalEngineConfig(),
        description="what validate and prepare run on: this machine, or Spark; no output depends on it",
    )
