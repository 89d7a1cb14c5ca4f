"""The whole config: read from YAML, checked as a whole, printed with every default."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from recap_model.config.base import Config
from recap_model.config.calibration import CalibrationConfig
from recap_model.config.data import DataConfig, SplitByTime
from recap_model.config.errors import reasons
from recap_model.config.evaluation import EvaluationConfig
from recap_model.config.features import DENSE_GROUPS, FeaturesConfig
from recap_model.config.model import ModelConfig
from recap_model.config.optimizer import OptimizerConfig
from recap_model.config.registry import RegistryConfig
from recap_model.config.tasks import TaskConfig, TaskName
from recap_model.config.training import TrainingConfig
from recap_model.config.validation import ValidationConfig
from recap_model.config.yaml import ConfigError, read_yaml


class RecapConfig(Config):
    """Everything that decides on a run's result, besides the log and the champion."""

    features: FeaturesConfig
    tasks: dict[TaskName, TaskConfig] = Field(min_length=1)
    model: ModelConfig = Field(validate_default=True)
    optimizer: OptimizerConfig
    training: TrainingConfig = TrainingConfig()
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    registry: RegistryConfig = RegistryConfig()

    @model_validator(mode="after")
    def _names_agree(self) -> "RecapConfig":
        problems = list(_disagreements(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def label_columns(self) -> dict[str, str]:
        """The label column of each task, in the order of the tasks."""
        return {name: task.label or name for name, task in self.tasks.items()}

    def to_yaml(self) -> str:
        """The effective config: every field, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=100)


def _disagreements(config: RecapConfig) -> Iterator[str]:
    tasks = list(config.tasks)
    yield from _unknown_tasks(config, tasks)
    yield from _chains_without_a_first(config, tasks)
    yield from _missing_columns(config)
    yield from _missing_rates(config, tasks)
    yield from _settings_of_no_table(config)
    yield from _no_discrete_column(config)
    yield from _no_feature_column(config)
    yield from _features_that_are_labels(config)
    yield from _missing_keys(config)


def _unknown_tasks(config: RecapConfig, tasks: list[str]) -> Iterator[str]:
    yield from _unknown("model.tasks", config.model.tasks, tasks)
    yield from _unknown("model.loss.task_weights", config.model.loss.task_weights, tasks)
    yield from _unknown("calibration.tasks", config.calibration.tasks, tasks)
    yield from _unknown("evaluation.gate.task_floors", config.evaluation.gate.task_floors, tasks)
    yield from _unknown("evaluation.gate.objectives", config.evaluation.gate.objectives or (), tasks)
    sampling = config.data.negative_downsampling
    yield from _unknown("data.negative_downsampling.tasks", (sampling and sampling.tasks) or (), tasks)
    if config.model.tower is None:
        missing = [task for task in tasks if task not in config.model.tasks]
        if missing:
            yield f"model.tasks: no architecture for {', '.join(missing)}; add them or give model.tower"


def _settings_of_no_table(config: RecapConfig) -> Iterator[str]:
    distribution = config.training.distribution
    if distribution and distribution.tables != "replicated" and not config.model.large_embeddings:
        yield (
            f"training.distribution.tables: {distribution.tables}, but there are no model.large_embeddings to share; "
            "remove it"
        )
    if config.optimizer.embeddings and not (config.model.small_embeddings or config.model.large_embeddings):
        yield "optimizer.embeddings: the model has no embedding table; remove it"


def _no_feature_column(config: RecapConfig) -> Iterator[str]:
    features, drift = config.features.columns(), config.validation.drift
    for where, names in (
        ("columns", config.validation.columns),
        ("drift.columns", drift.columns),
        ("drift.ignore", drift.ignore),
    ):
        for column in names:
            if column not in features:
                yield f"validation.{where}: {column!r} is no feature column; they are {', '.join(features)}"


def _features_that_are_labels(config: RecapConfig) -> Iterator[str]:
    for task, column in config.label_columns().items():
        if column in config.features.columns():
            yield f"tasks.{task}.label: column {column!r} is a feature too; a label is no input"


def _missing_keys(config: RecapConfig) -> Iterator[str]:
    """Times and ids that another section works with."""
    stamps, ids = config.features.timestamps, config.features.ids
    if config.data.rectify_labels is not None:
        for name in ("impressed", "served", "engaged"):
            if getattr(stamps, name) is None:
                yield f"features.timestamps.{name}: needed by data.rectify_labels"
    if config.data.deduplicate is not None:
        for name in ("request", "candidate"):
            if getattr(ids, name) is None:
                yield f"features.ids.{name}: needed by data.deduplicate"
    if stamps.computed is not None and stamps.impressed is None:
        yield "features.timestamps.impressed: needed to hold features.timestamps.computed to it"
    if isinstance(config.data.split, SplitByTime) and stamps.impressed is None:
        yield "features.timestamps.impressed: needed by data.split.by time"


def _chains_without_a_first(config: RecapConfig, tasks: list[str]) -> Iterator[str]:
    for name, task in config.tasks.items():
        yield from _unknown(f"tasks.{name}.given", [task.given] if task.given else [], tasks)
        chain, given = [name], task.given
        while given in config.tasks and given not in chain:
            chain.append(given)
            given = config.tasks[given].given
        if given == name:
            yield f"tasks.{name}.given: {' needs '.join([*chain, name])}; a chain of tasks has a first one"


def _missing_columns(config: RecapConfig) -> Iterator[str]:
    width = config.features.width("discrete")
    for where, index in config.model.discrete_indices():
        if index >= width:
            yield f"{where}: {index}: features.discrete has {width} columns, numbered from 0"
    large = config.model.large_embeddings
    for number, table in enumerate(large.tables if large is not None else ()):
        if table.name not in config.features.sparse:
            columns = ", ".join(config.features.sparse) or "none"
            where = f"model.large_embeddings.tables.{number}.name"
            yield f"{where}: {table.name!r} is no column of features.sparse, which has {columns}"


def _no_discrete_column(config: RecapConfig) -> Iterator[str]:
    named = {
        f"evaluation.slices.{number}.column": one.column
        for number, one in enumerate(config.evaluation.slices)
    }
    if config.calibration.by_value is not None:
        named["calibration.by_value.column"] = config.calibration.by_value.column
    discrete = config.features.discrete
    columns = discrete if isinstance(discrete, list) else []
    for where, column in named.items():
        if column not in columns:
            known = ", ".join(columns) or "none by name"
            yield f"{where}: {column!r} is no column of features.discrete, which has {known}"


def _missing_rates(config: RecapConfig, tasks: list[str]) -> Iterator[str]:
    rates = config.optimizer.multi_task_learning_rates
    if rates is None:
        return
    where = "optimizer.multi_task_learning_rates"
    yield from _unknown(f"{where}.tower_learning_rates", rates.tower_learning_rates, tasks)
    missing = [task for task in tasks if task not in rates.tower_learning_rates]
    if missing:
        yield f"{where}.tower_learning_rates: no rate for {', '.join(missing)}; a tower never takes a default"
    if rates.backbone_learning_rate is not None:
        return
    kind = config.model.multi_task_type
    if kind != "share_none":
        yield f"{where}.backbone_learning_rate: needed by multi_task_type {kind}"
    elif config.model.loss.task_weighting == "uncertainty":
        yield f"{where}.backbone_learning_rate: needed by the uncertainties of model.loss.task_weighting"


def _unknown(where: str, names: Any, tasks: list[str]) -> Iterator[str]:
    for name in names:
        if name not in tasks:
            yield f"{where}: {name!r} is no task; the tasks are {', '.join(tasks)}"


def load_config(path: str | Path) -> RecapConfig:
    """Read a YAML (or JSON) file.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: one line for each error, with the full path of its field.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such config file")
    return parse_yaml(path.read_bytes(), source=str(path))


def parse_yaml(text: bytes, source: str) -> RecapConfig:
    """Check a config as YAML or JSON; ``source`` names it in errors. Raises ConfigError as `load_config`."""
    content = read_yaml(text, source)
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: a config is a mapping of sections, not {type(content).__name__}")
    return parse_config(content, source=source)


def parse_config(content: dict[str, Any], source: str = "config") -> RecapConfig:
    """Check the sections of a config; ``source`` names it in errors. Raises ConfigError."""
    try:
        return RecapConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(f"{source}: {reason}" for reason in reasons(error, RecapConfig))
        ) from None


def data_spec(config: RecapConfig) -> dict[str, int]:
    """Width of each dense group that the config has: what `create_ranking_model` builds for."""
    widths = {group: config.features.width(group) for group in DENSE_GROUPS}
    return {group: width for group, width in widths.items() if width}
