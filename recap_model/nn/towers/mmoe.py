"""MMoE: experts that all tasks share, with a gate for each task."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from recap_model.config.model.architectures import ArchitectureConfig, BackboneConfig
from recap_model.config.model.network import ModelConfig
from recap_model.nn.blocks.build_block import build_block
from recap_model.nn.blocks.layers import cast_for_matmul, linear
from recap_model.nn.inputs.input_layer import Inputs
from recap_model.nn.names import module_key
from recap_model.nn.towers.shared_bottom import NetOutput


class Experts(nn.ModuleList):
    """Parallel blocks of one architecture.

    Shape:
        x: (rows, in_features); returns (rows, experts, out_features).
    """

    def __init__(self, config: BackboneConfig, count: int, in_features: int):
        blocks = [build_block(config, in_features) for _ in range(count)]
        super().__init__(blocks)
        self.out_features = blocks[0].out_features

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([block(x).output for block in self], dim=1)


class Gate(nn.Module):
    """A mixture of experts: ``sum_i softmax(W x)_i e_i``.

    Shape:
        x: (rows, in_features); experts: (rows, experts, width); returns (rows, width).
    """

    def __init__(self, in_features: int, experts: int):
        super().__init__()
        self.weight = linear(in_features, experts, bias=False)

    def forward(self, x: Tensor, experts: Tensor) -> Tensor:
        return _mix_experts([self], x, experts).squeeze(1)


def _mix_experts(gates: Iterable[nn.Module], x: Tensor, experts: Tensor) -> Tensor:
    """Mix experts by several gates of the same inputs, in two matrix products: (rows, gates, width)."""
    weights = torch.cat([gate.weight.weight for gate in gates if isinstance(gate, Gate)])
    scores = nn.functional.linear(x, weights)
    gate_weights = torch.softmax(scores.unflatten(1, (-1, experts.shape[1])), dim=2)
    return torch.bmm(gate_weights.to(experts.dtype), experts)


class MmoeTowers(nn.Module):
    """Experts that all tasks share, a gate and a tower for each task.

    Ma et al., "Modeling task relationships in multi-task learning with multi-gate mixture-of-experts", KDD 2018,
    eq. 6 and 7.

    Shape:
        inputs: joined to (rows, in_features); logits: (rows, tasks).
    """

    def __init__(
        self, config: ModelConfig, architectures: Mapping[str, ArchitectureConfig], in_features: int
    ):
        super().__init__()
        assert config.mmoe is not None
        self.experts = Experts(config.mmoe.expert, config.mmoe.num_experts, in_features)
        keys = {module_key(task): tower for task, tower in architectures.items()}
        self.gates = nn.ModuleDict({key: Gate(in_features, len(self.experts)) for key in keys})
        width = self.experts.out_features
        self.towers = nn.ModuleDict({key: build_block(tower, width) for key, tower in keys.items()})

    def forward(self, inputs: Inputs) -> NetOutput:
        joined = cast_for_matmul(inputs.joined())
        experts = self.experts(joined)
        mixtures = _mix_experts(list(self.gates.values()), joined, experts).unbind(dim=1)
        logits = [
            tower(mixture).output for tower, mixture in zip(self.towers.values(), mixtures, strict=True)
        ]
        return NetOutput(torch.cat(logits, dim=1), experts)
