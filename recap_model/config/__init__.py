"""The config, one file per section: pydantic models that import nothing heavy."""

from recap_model.config.base import StrictModel
from recap_model.config.model.network import ModelConfig
from recap_model.config.model.optimizer import OptimizerConfig
from recap_model.config.recap import (
    ConfigError,
    RecapConfig,
    data_spec,
    load_config,
    parse_config,
    parse_yaml,
)

__all__ = [
    "ConfigError",
    "ModelConfig",
    "OptimizerConfig",
    "RecapConfig",
    "StrictModel",
    "data_spec",
    "load_config",
    "parse_config",
    "parse_yaml",
]
