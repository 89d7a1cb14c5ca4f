"""A tiny config with batch norms, to train in one process or several."""

from typing import Any

from recap_model import RecapConfig
from tests.tiny import tiny_config

NORM = {"affine": True, "momentum": 0.1}
MODEL = {
    "featurization_config": {"double_norm_log_config": {"batch_norm_config": NORM, "clip_magnitude": 5.0}},
    "multi_task_type": "share_all",
    "backbone": {"mlp_config": {"layer_sizes": [16], "final_layer_activation": True}},
    "tower": {"mlp_config": {"layer_sizes": [8, 1], "batch_norm": NORM}},
}


def config_of(**training: Any) -> RecapConfig:
    # Biases in front of a batch norm have a gradient of rounding errors, which a small epsilon would blow up.
    optimizer = {"single_task_learning_rate": {"constant": 0.01}, "adam": {"epsilon": 1e-3}}
    early = {"share": 0.15, "every_steps": 5, "patience": 100}
    settings = {"batch_size": 48, "epochs": 1, "early_stopping": early, **training}
    return tiny_config(model=MODEL, optimizer=optimizer, training=settings)


def resumable_config(
    epochs: int, batch_size: int = 16, every_steps: int = 10, **sections: Any
) -> RecapConfig:
    """A net whose batch norms, dropout and average all have a state that a checkpoint must hold."""
    tower = {"mlp_config": {"layer_sizes": [8, 1], "batch_norm": {"momentum": 0.1}, "dropout": {"rate": 0.2}}}
    return tiny_config(
        model={
            "featurization_config": {"double_norm_log_config": {"clip_magnitude": 5.0}},
            "multi_task_type": "share_all",
            "backbone": {"mlp_config": {"layer_sizes": [16], "final_layer_activation": True}},
            "tower": tower,
        },
        training={
            "batch_size": batch_size,
            "epochs": epochs,
            "checkpoint": {"every_steps": every_steps},
            "ema_decay": 0.99,
            "threads": 1,
        },
        **sections,
    )
