"""Batches and model sections for tests of the model."""

from typing import Any

import torch

from recap_model.config.model.network import ModelConfig
from recap_model.data.dataset.batch import RecapBatch

WIDTHS = {
    "continuous": 3,
    "binary": 1,
    "discrete": 2,
    "user_embedding": 4,
    "user_eng_embedding": 5,
    "author_embedding": 6,
}
MLP = {"mlp_config": {"layer_sizes": [8, 5], "final_layer_activation": True}}
TOWER = {"mlp_config": {"layer_sizes": [4, 1], "batch_norm": {"affine": False}}}
TABLES = {"tables": [{"name": "topic", "num_embeddings": 5, "embedding_dim": 2, "index": 1}]}
LOG = {"double_norm_log_config": {}}


def section(**fields: Any) -> ModelConfig:
    """A model section of two tasks, ``like`` and ``reply``, that share an MLP."""
    content = {
        "multi_task_type": "share_all",
        "featurization_config": LOG,
        "backbone": MLP,
        "tasks": {"like": TOWER, "reply": TOWER},
        "small_embeddings": TABLES,
        "position_debias_config": {"max_position": 9, "num_dims": 3, "position_feature_index": 0},
    }
    return ModelConfig(**(content | fields))


def batch(rows: int = 7, seed: int = 0, **groups: torch.Tensor | None) -> RecapBatch:
    """Random rows of all groups, with two tasks' labels; ``groups`` replace single ones."""
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, Any] = {
        name: torch.randn(rows, width, generator=random) for name, width in WIDTHS.items()
    }
    tensors["discrete"] = torch.randint(-1, 9, (rows, WIDTHS["discrete"]), generator=random)
    tensors["labels"] = torch.randint(0, 2, (rows, 2), generator=random).float()
    tensors["weights"] = torch.rand(rows, 2, generator=random) + 0.5
    return RecapBatch(**(tensors | groups))
