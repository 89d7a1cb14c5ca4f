"""The ranking model, as a library: config, network, losses, data, calibration, metrics.

Names are loaded when first used, so that a step that only needs the config does not import torch.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "ConfigError": "recap_model.config",
    "RecapConfig": "recap_model.config",
    "data_spec": "recap_model.config",
    "load_config": "recap_model.config",
    "RecapBatch": "recap_model.data.batch",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
