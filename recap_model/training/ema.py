"""Exponential moving average (EMA) of a model's weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of all floating-point state, batch norms' statistics included.

    ``average += (1 - d) * (weights - average)`` with ``d = min(decay, (1 + n) / (10 + n))`` after n updates,
    so that the start is forgotten soon (the ramp of TensorFlow's ``ExponentialMovingAverage``). Averaged
    weights as in Polyak and Juditsky, SIAM J. Control Optim. 30(4), 1992.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.updates = 0
        self.average = [tensor.clone() for tensor in _state(model)]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(self.average, _state(model), 1.0 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Give the model the averaged weights."""
        torch._foreach_copy_(_state(model), self.average)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Give the model the averaged weights inside the block, and its own back after it."""
        own = [tensor.clone() for tensor in _state(model)]
        self.copy_to(model)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(_state(model), own)

    def state_dict(self) -> dict[str, Any]:
        """The average and the number of its updates."""
        return {"updates": self.updates, "average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.updates = state["updates"]
        torch._foreach_copy_(self.average, state["average"])


def _state(model: nn.Module) -> list[Tensor]:
    tensors = (tensor.detach() for tensor in model.state_dict(keep_vars=True).values())
    return [tensor for tensor in tensors if tensor.is_floating_point()]
