"""Gather sharded embedding tables for checkpoints and the saved model, and shard them again."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from recap_model.distributed.process_group import ProcessGroup
from recap_model.distributed.sharded_tables import Bounds
from recap_model.nn.inputs.id_tables import IdTables
from recap_model.optim import Stepper
from recap_model.optim.optimizer import CombinedOptimizer

_CHUNK_BYTES = 64 << 20

_Resize = Callable[[Tensor, list[Bounds]], Tensor]


class TableGatherer:
    """Gathers the shards of a module's tables on rank 0, and shards full tables again.

    Everything with a value or a row per entry is gathered too: optimizer state, EMA, the best weights so far.
    Every process must call each method at once.
    """

    def __init__(self, module: nn.Module, process_group: ProcessGroup):
        self._module, self._process_group = module, process_group
        self._bounds: dict[str, list[Bounds]] = {}
        for name, part in module.named_modules():
            if isinstance(part, IdTables):
                for weight, bounds in part.sharded_weights():
                    self._bounds[f"{name}.{weight}"] = bounds

    @property
    def names(self) -> list[str]:
        """Names of the sharded parameters."""
        return list(self._bounds)

    def parameters(self) -> list[nn.Parameter]:
        """The sharded parameters."""
        named = dict(self._module.named_parameters())
        return [named[name] for name in self._bounds]

    def unshard(self) -> None:
        """Give rank 0's module full tables; the other ranks' modules must not be used afterwards."""
        parts = dict(self._module.named_parameters())
        wholes = {name: self._gather(parts[name].detach(), bounds) for name, bounds in self._bounds.items()}
        if self._process_group.rank > 0:
            return
        for name, part in self._module.named_modules():
            if isinstance(part, IdTables) and part.plan is not None:
                weights = [wholes[f"{name}.{weight}"] for weight, _ in part.sharded_weights()]
                part.unshard([weight.to(self._process_group.device) for weight in weights])

    def gather_state(self, state: Mapping[str, Any], optimizer: Stepper) -> dict[str, Any]:
        """A `TrainState`'s dict with full tables, valid on rank 0 only."""
        return self._map_state(state, optimizer, self._gather)

    def shard_state(self, state: Mapping[str, Any], optimizer: Stepper) -> dict[str, Any]:
        """A dict from `gather_state`, with this process's shards."""
        return self._map_state(state, optimizer, self._shard)

    def _map_state(self, state: Mapping[str, Any], optimizer: Stepper, change: _Resize) -> dict[str, Any]:
        changed = dict(state)
        changed["module"] = self._map_weights(state["module"], change)
        if state["average"] is not None:
            names = [name for name, tensor in self._module.state_dict().items() if tensor.is_floating_point()]
            # The average is of the model inside the module, whose floating-point state comes in the same order.
            own = [name for name in names if name.startswith("model.")]
            named = dict(zip(own, state["average"]["average"], strict=True))
            changed["average"] = {
                **state["average"],
                "average": list(self._map_weights(named, change).values()),
            }
        if state["stopping"] is not None:
            best = state["stopping"]["best"]
            changed["stopping"] = {
                **state["stopping"],
                "best": self._map_weights(best, change) if best else best,
            }
        if isinstance(optimizer, CombinedOptimizer):
            changed["optimizer"] = {
                name: self._map_optimizer(state["optimizer"][name], part, change)
                for name, part in optimizer.parts.items()
            }
        else:
            changed["optimizer"] = self._map_optimizer(state["optimizer"], optimizer, change)
        return changed

    def _map_weights(self, weights: Mapping[str, Tensor], change: _Resize) -> dict[str, Tensor]:
        return {
            name: change(tensor, self._bounds[name]) if name in self._bounds else tensor
            for name, tensor in weights.items()
        }

    def _map_optimizer(self, state: Mapping[str, Any], optimizer: Any, change: _Resize) -> dict[str, Any]:
        named = {id(parameter): name for name, parameter in self._module.named_parameters()}
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        changed = {}
        for number, values in state["state"].items():
            bounds = self._bounds.get(named[id(weights[number])])
            changed[number] = {
                key: change(value, bounds)
                if bounds is not None and isinstance(value, Tensor) and value.ndim
                else value
                for key, value in values.items()
            }
        return {**state, "state": changed}

    def _shard(self, whole: Tensor, bounds: list[Bounds]) -> Tensor:
        first, last = bounds[self._process_group.rank]
        return whole[first:last].clone()

    def _gather(self, part: Tensor, bounds: list[Bounds]) -> Tensor:
        """The full table on rank 0's CPU, received in chunks; empty on other ranks."""
        rank = self._process_group.rank
        entries = max(last for _, last in bounds)
        whole = torch.empty((entries if rank == 0 else 0, *part.shape[1:]), dtype=part.dtype)
        rows = max(1, _CHUNK_BYTES // (part.element_size() * math.prod(part.shape[1:])))
        for owner, (first, last) in enumerate(bounds):
            for start in range(first, last, rows):
                end = min(start + rows, last)
                if rank == owner:
                    piece = part[start - first : end - first].contiguous()
                    if rank > 0:
                        dist.send(piece, 0)
                elif rank == 0:
                    piece = part.new_empty((end - start, *part.shape[1:]))
                    dist.recv(piece, owner)
                if rank == 0:
                    whole[start:end] = piece
        return whole
