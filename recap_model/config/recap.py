"""The whole config: read from YAML, validated, printed with every default."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from recap_model.config.base import StrictModel
from recap_model.config.data.dataset import DataConfig
from recap_model.config.data.features import DENSE_GROUPS, FeaturesConfig
from recap_model.config.data.labels import LabelWindow
from recap_model.config.data.tasks import ScoreTerm, TaskConfig
from recap_model.config.fields.names import TaskName
from recap_model.config.model.network import ModelConfig
from recap_model.config.model.optimizer import OptimizerConfig
from recap_model.config.reading import cross_checks, table_checks
from recap_model.config.reading.checking import check
from recap_model.config.reading.cross_checks import cross_check
from recap_model.config.reading.yaml import ConfigError, read_yaml
from recap_model.config.steps.calibration import CalibrationConfig
from recap_model.config.steps.evaluation import EvaluationConfig
from recap_model.config.steps.registry import RegistryConfig
from recap_model.config.steps.training import TrainingConfig
from recap_model.config.steps.validation import ValidationConfig
from recap_model.config.steps.watch import WatchConfig


class RecapConfig(StrictModel):
    """Everything that decides on a run's result, besides the log and the champion."""

    features: FeaturesConfig
    tasks: dict[TaskName, TaskConfig] = Field(min_length=1)
    score_terms: dict[TaskName, ScoreTerm] = Field(
        {}, description="terms of a row's score beside each task's weight times its prediction"
    )
    model: ModelConfig = Field(validate_default=True)
    optimizer: OptimizerConfig
    training: TrainingConfig = TrainingConfig()
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    registry: RegistryConfig = RegistryConfig()
    watch: WatchConfig = WatchConfig()

    _unknown_tasks = cross_check(cross_checks.unknown_tasks)
    _missing_architectures = cross_check(cross_checks.missing_architectures)
    _chains_without_a_first = cross_check(cross_checks.circular_tasks)
    _missing_columns = cross_check(cross_checks.missing_columns)
    _unknown_id_columns = cross_check(table_checks.unknown_id_columns)
    _unreadable_sequences = cross_check(table_checks.unreadable_sequences)
    _missing_rates = cross_check(cross_checks.missing_rates)
    _settings_of_no_table = cross_check(cross_checks.settings_without_table)
    _no_discrete_column = cross_check(cross_checks.unknown_slice_columns)
    _no_feature_column = cross_check(cross_checks.unknown_feature_columns)
    _features_that_are_labels = cross_check(cross_checks.labels_among_features)
    _labels_with_another_role = cross_check(cross_checks.labels_with_another_role)
    _calibration_of_values = cross_check(cross_checks.calibration_of_values)
    _floors_of_another_kind = cross_check(cross_checks.floors_of_another_kind)
    _sampling_of_values = cross_check(cross_checks.sampling_of_values)
    _terms_of_unknown_tasks = cross_check(cross_checks.invalid_score_terms)
    _columns_of_scores_twice = cross_check(cross_checks.duplicate_score_columns)
    _inputs_of_a_graph_twice = cross_check(cross_checks.duplicate_graph_names)
    _missing_keys = cross_check(cross_checks.missing_keys)

    def label_columns(self) -> dict[str, str]:
        """The label column of each task whose label is one, in the order of the tasks."""
        rules = {name: task.label_rule(name) for name, task in self.tasks.items()}
        return {
            name: rule for name, rule in rules.items() if isinstance(rule, str) and name in self.binary_tasks
        }

    @property
    def binary_tasks(self) -> list[str]:
        """Tasks that predict probabilities."""
        return [name for name, task in self.tasks.items() if task.kind == "binary"]

    @property
    def value_tasks(self) -> list[str]:
        """Tasks that predict values."""
        return [name for name, task in self.tasks.items() if task.kind == "value"]

    def derived_labels(self) -> dict[str, str]:
        """In words, the label of each task that has more of one than a column of the log."""
        return {
            name: task.describe_label(name) for name, task in self.tasks.items() if task.has_derived_label
        }

    def populations(self) -> dict[str, str]:
        """In words, the condition on the rows of each task that is not of all rows."""
        return {
            name: str(task.only_where) for name, task in self.tasks.items() if task.only_where is not None
        }

    def score_weights(self) -> dict[str, float]:
        """The weight of each task and of each further term of the score."""
        terms = {name: term.weight for name, term in self.score_terms.items()}
        return {name: task.score_weight for name, task in self.tasks.items()} | terms

    def label_window(self, task: str) -> LabelWindow | None:
        """The time in which a task's engagements count."""
        window, default = self.tasks[task].within, self.data.rectify_labels
        if window is None and default is not None:
            return LabelWindow(hours=default.window_hours)
        return window

    def to_yaml(self) -> str:
        """The effective config: every field, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=100)


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
    return check(RecapConfig, content, source)


def data_spec(config: RecapConfig) -> dict[str, int]:
    """Width of each dense group that the config has: what `create_ranking_model` builds for."""
    widths = {group: config.features.width(group) for group in DENSE_GROUPS}
    return {group: width for group, width in widths.items() if width}
