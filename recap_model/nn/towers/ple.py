"""PLE: levels of experts that all tasks share and experts of one task, with a gate for each task."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from recap_model.config.model.architectures import ArchitectureConfig, BackboneConfig
from recap_model.config.model.network import ModelConfig
from recap_model.nn.blocks.build_block import build_block
from recap_model.nn.inputs.input_layer import Inputs
from recap_model.nn.names import module_key
from recap_model.nn.towers.mmoe import Experts, Gate
from recap_model.nn.towers.shared_bottom import NetOutput


class PleLevel(nn.Module):
    """One level: experts of each task and shared experts; a task's gate mixes its own and the shared ones.

    Shape:
        tasks: each task's input, (rows, in_features), by its key; shared: the same shape. Returns the next
        level's inputs, and what the shared experts gave; the shared input is None at the last level, where
        nobody reads it.
    """

    def __init__(
        self,
        expert: BackboneConfig,
        keys: Iterable[str],
        in_features: int,
        task_experts: int,
        shared_experts: int,
        last: bool,
    ):
        super().__init__()
        keys = list(keys)
        self.task_experts = nn.ModuleDict({key: Experts(expert, task_experts, in_features) for key in keys})
        self.shared_experts = Experts(expert, shared_experts, in_features)
        self.gates = nn.ModuleDict({key: Gate(in_features, task_experts + shared_experts) for key in keys})
        everyone = len(keys) * task_experts + shared_experts
        self.shared_gate = None if last else Gate(in_features, everyone)
        self.out_features = self.shared_experts.out_features

    def forward(
        self, tasks: dict[str, Tensor], shared: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None, Tensor]:
        own = {key: experts(tasks[key]) for key, experts in self.task_experts.items()}
        common = self.shared_experts(shared)
        mixed = {
            key: gate(tasks[key], torch.cat([own[key], common], dim=1)) for key, gate in self.gates.items()
        }
        if self.shared_gate is None:
            return mixed, None, common
        everyone = torch.cat([*own.values(), common], dim=1)
        return mixed, self.shared_gate(shared, everyone), common


class PleTowers(nn.Module):
    """Levels of task experts and shared experts, then a tower for each task.

    Tang et al., "Progressive layered extraction (PLE)", RecSys 2020, eq. 4 to 8; one level is its CGC.

    Shape:
        inputs: joined to (rows, in_features); logits: (rows, tasks).
    """

    def __init__(
        self, config: ModelConfig, architectures: Mapping[str, ArchitectureConfig], in_features: int
    ):
        super().__init__()
        ple = config.ple
        assert ple is not None
        keys = {module_key(task): tower for task, tower in architectures.items()}
        levels: list[PleLevel] = []
        width = in_features
        for number in range(ple.levels):
            last = number == ple.levels - 1
            levels.append(PleLevel(ple.expert, keys, width, ple.task_experts, ple.shared_experts, last))
            width = levels[-1].out_features
        self.levels = nn.ModuleList(levels)
        self.towers = nn.ModuleDict({key: build_block(tower, width) for key, tower in keys.items()})

    def forward(self, inputs: Inputs) -> NetOutput:
        joined = inputs.joined()
        tasks, shared, common = dict.fromkeys(self.towers, joined), joined, joined
        for level in self.levels:
            tasks, shared, common = level(tasks, shared)
        logits = [tower(tasks[key]).output for key, tower in self.towers.items()]
        return NetOutput(torch.cat(logits, dim=1), common)
