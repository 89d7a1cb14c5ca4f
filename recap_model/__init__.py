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
    "RecapBatch": "recap_model.data.dataset.batch",
    "EmbeddingRankingModel": "recap_model.model.embedding_ranking_model",
    "ModelAndLoss": "recap_model.model.model_and_loss",
    "ModelConfig": "recap_model.config",
    "MultiTaskLoss": "recap_model.losses",
    "MultiTaskRankingModel": "recap_model.model.ranking_model",
    "OptimizerConfig": "recap_model.config",
    "build_loss": "recap_model.losses",
    "build_optimizer": "recap_model.optim",
    "create_ranking_model": "recap_model.model.create_ranking_model",
    "export_onnx": "recap_model.export.graph",
    "export_program": "recap_model.export.graph",
    "load_model": "recap_model.serialization",
    "load_published_state_dict": "recap_model.model.published_weights",
    "rate_at": "recap_model.optim",
    "sanitize": "recap_model.nn.names",
    "save_model": "recap_model.serialization",
    "set_learning_rates": "recap_model.optim",
    "unsanitize": "recap_model.nn.names",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
