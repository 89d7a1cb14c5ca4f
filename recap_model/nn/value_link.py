"""The link of value tasks: from a tower's logit to a value that is not negative."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class ValueLink(nn.Module):
    """``cap * sigmoid(logit)`` of a value task with a cap, ``scale * softplus(logit)`` of one without.

    A binary task's is the sigmoid. Both rise smoothly with the logit; near 0 the second falls like the first, and far
    above it is linear, so that a value has no upper bound.

    Args:
        caps: of each task; None for a task without.
        scales: of each value task; None for a binary task, whose prediction is a probability.

    Shape:
        logits: (rows, tasks); returns the same.

    >>> link = ValueLink(caps=[None, 300.0, None], scales=[None, 30.0, 30.0])
    >>> link(torch.zeros(1, 3))
    tensor([[  0.5000, 150.0000,  20.7944]])
    """

    caps: Tensor
    scales: Tensor
    is_value: Tensor
    is_capped: Tensor

    def __init__(self, caps: Sequence[float | None], scales: Sequence[float | None]):
        super().__init__()
        for cap, scale in zip(caps, scales, strict=True):
            if cap is not None and (scale is None or not cap > 0):
                raise ValueError(f"cap: {cap}: of a value task only, and over 0")
        is_value = [scale is not None for scale in scales]
        bounded = [cap is not None or not value for cap, value in zip(caps, is_value, strict=True)]
        self.register_buffer(
            "caps", torch.tensor([1.0 if cap is None else cap for cap in caps]), persistent=False
        )
        self.register_buffer(
            "scales", torch.tensor([1.0 if scale is None else scale for scale in scales]), persistent=False
        )
        self.register_buffer("is_value", torch.tensor(is_value), persistent=False)
        self.register_buffer("is_capped", torch.tensor(bounded), persistent=False)
        self._all_capped, self._any_capped = all(bounded), any(bounded)

    def forward(self, logits: Tensor) -> Tensor:
        if not self._any_capped:
            return self.scales * softplus(logits)
        bounded = self.caps * torch.sigmoid(logits)
        if self._all_capped:
            return bounded
        return torch.where(self.is_capped, bounded, self.scales * softplus(logits))
