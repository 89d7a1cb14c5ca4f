"""A DLRM for each task."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from recap_model.config.model.architectures import ArchitectureConfig
from recap_model.nn.blocks.dlrm import Dlrm
from recap_model.nn.inputs.input_layer import Inputs
from recap_model.nn.names import module_key
from recap_model.nn.towers.shared_bottom import NetOutput


class DlrmTowers(nn.Module):
    """A DLRM for each task, on the same dense part and embeddings.

    Shape:
        inputs: as in `Dlrm`; logits: (rows, tasks).
    """

    def __init__(
        self,
        architectures: Mapping[str, ArchitectureConfig],
        dense_width: int,
        embedding_widths: Sequence[int],
    ):
        super().__init__()
        configs = {task: tower.dlrm_config for task, tower in architectures.items()}
        lacking = [task for task, config in configs.items() if config is None]
        if lacking:
            raise ValueError(
                f"model.tasks.{lacking[0]}: has no dlrm_config, which an EmbeddingRankingModel needs"
            )
        self.towers = nn.ModuleDict(
            {
                module_key(task): Dlrm(config, dense_width, embedding_widths)
                for task, config in configs.items()
                if config is not None
            }
        )

    def forward(self, inputs: Inputs) -> NetOutput:
        return NetOutput(torch.cat([tower(inputs).output for tower in self.towers.values()], dim=1), None)
