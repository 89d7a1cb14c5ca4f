"""The published ranker's configuration file: its data sections, under the published field names."""

from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from recap_model.config.base import StrictModel
from recap_model.config.data.tasks import SamplingRate, TaskName
from recap_model.config.reading.errors import reasons
from recap_model.config.reading.yaml import ConfigError, read_yaml


class _Published(StrictModel):
    """A section of which only these fields are read; others configure the published trainer."""

    model_config = ConfigDict(extra="ignore")


class DateInputs(_Published):
    """The last ``days`` daily folders up to ``end_date``."""

    days: PositiveInt
    num_missing_days_tolerated: NonNegativeInt = 0


class DatetimeInputs(_Published):
    """The last ``hours`` hourly folders up to ``end_datetime``."""

    hours: PositiveInt
    num_missing_hours_tolerated: NonNegativeInt = 0


class SampledTask(_Published):
    """Sampling rates of a task's positives and negatives in the log."""

    pos_downsampling_rate: SamplingRate = 1.0
    neg_downsampling_rate: SamplingRate = 1.0


class TruncateAndSlice(StrictModel):
    """Entries of a group that are read: the first N, or those of a mask (.npy, 0 or 1 for each entry)."""

    continuous_feature_truncation: PositiveInt | None = None
    binary_feature_truncation: PositiveInt | None = None
    continuous_feature_mask_path: str | None = None
    binary_feature_mask_path: str | None = None


class RectifyLabels(StrictModel):
    """Features that hold times in milliseconds, and the window in which an engagement counts."""

    label_rectification_window_in_hours: PositiveFloat = 3.0
    served_timestamp_field: str
    impressed_timestamp_field: str
    label_to_engaged_timestamp_field: dict[str, str] = Field(min_length=1)


class Preprocess(StrictModel):
    """Preprocessing of rows before training."""

    truncate_and_slice: TruncateAndSlice = TruncateAndSlice()
    rectify_labels: RectifyLabels | None = None
    downcast: dict[str, Any] | None = None
    extract_features: dict[str, Any] | None = None
    downsample_negatives: dict[str, Any] | None = None


class SegDenseSchema(_Published):
    """Features that are read, and the model's names of renamed features."""

    schema_path: str | None = None
    features: list[str] = []
    renamed_features: dict[str, str] = Field(min_length=1)
    mask_mantissa_features: dict[str, Any] | None = None


class TrainData(_Published):
    """The training data."""

    seg_dense_schema: SegDenseSchema
    tasks: dict[TaskName, SampledTask] = Field(min_length=1)
    preprocess: Preprocess = Preprocess()
    explicit_date_inputs: DateInputs | None = None
    explicit_datetime_inputs: DatetimeInputs | None = None
    global_batch_size: PositiveInt | None = None


class Training(_Published):
    """The trainer's settings that have a counterpart here."""

    num_train_steps: PositiveInt | None = None


class PublishedConfig(_Published):
    """The file. ``model`` and ``optimizer`` are valid sections of our config without changes."""

    model: dict[str, Any]
    optimizer: dict[str, Any]
    train_data: TrainData
    training: Training = Training()


def read_published(path: Path) -> PublishedConfig:
    """Read the file.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: one line for each error, with the full path of its field.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the published configuration (local_prod.yaml)")
    content = read_yaml(path.read_bytes(), str(path))
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a config is a mapping of sections, not {type(content).__name__}")
    try:
        return PublishedConfig.model_validate(content)
    except ValidationError as error:
        lines = [f"{path}: {reason}" for reason in reasons(error, PublishedConfig)]
        raise ConfigError("\n".join(lines)) from None
