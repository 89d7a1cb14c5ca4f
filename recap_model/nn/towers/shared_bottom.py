"""Shared-bottom towers: one tower per task, on the inputs, a backbone's output, or both."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recap_model.config.model.architectures import ArchitectureConfig
from recap_model.config.model.network import ModelConfig
from recap_model.nn.blocks.build_block import build_block
from recap_model.nn.blocks.layers import cast_for_matmul
from recap_model.nn.inputs.input_layer import Inputs
from recap_model.nn.names import module_key


class NetOutput(NamedTuple):
    """The towers' logits, and the shared representation.

    Shape:
        logits: (rows, tasks).
        shared: (rows, width) of a backbone, (rows, experts, width) of experts; None where nothing is shared.
    """

    logits: Tensor
    shared: Tensor | None


class SharedTowers(nn.Module):
    """A tower for each task, on the inputs (share_none), on the backbone's output (share_all), or on both.

    With share_partial a tower sees the inputs first, then the backbone's output.

    Shape:
        inputs: joined to (rows, in_features).
    """

    def __init__(
        self, config: ModelConfig, architectures: Mapping[str, ArchitectureConfig], in_features: int
    ):
        super().__init__()
        self.sees_inputs = config.multi_task_type != "share_all"
        self.backbone = build_block(config.backbone, in_features) if config.backbone is not None else None
        width = in_features if self.sees_inputs else 0
        width += self.backbone.out_features if self.backbone is not None else 0
        self.towers = nn.ModuleDict(
            {module_key(task): build_block(tower, width) for task, tower in architectures.items()}
        )

    def forward(self, inputs: Inputs) -> NetOutput:
        joined = inputs.joined()
        backbone = self.backbone(joined).output if self.backbone is not None else None
        parts = [joined] if self.sees_inputs else []
        net = cast_for_matmul(torch.cat([*parts, backbone], dim=1) if backbone is not None else joined)
        logits = [tower(net).output for tower in self.towers.values()]
        return NetOutput(torch.cat(logits, dim=1), backbone)
