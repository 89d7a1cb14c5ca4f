"""Losses of value tasks, whose labels are amounts such as seconds: Huber, absolute, squared and Tweedie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

ValueLossKind = Literal["huber", "mae", "mse", "tweedie"]

_LEAST = 1e-6  # of a prediction over its scale, under which Tweedie's deviance has no finite gradient


@dataclass(frozen=True)
class ValueLoss:
    """A task's loss of a prediction v and a label y, both over ``scale``, so that losses of tasks are comparable.

    ``mae`` is |v - y|, ``mse`` (v - y)^2; ``huber`` is 1/2 (v - y)^2 up to a difference of 1 and |v - y| - 1/2
    beyond (Huber, Annals of Mathematical Statistics 35(1), 1964); ``tweedie`` half the unit deviance of the Tweedie
    distribution with variance v^power, 1 < power < 2, a mass at 0 and a skewed density above (Jorgensen, Journal
    of the Royal Statistical Society B 49(2), 1987, sec. 2). All but ``mae`` and ``huber`` are least, in expectation,
    at the mean label.
    """

    kind: ValueLossKind
    scale: float = 1.0
    power: float = 1.5

    def __call__(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """The loss of each row: any shape, the same for both; labels are not missing."""
        value, target = predictions / self.scale, labels / self.scale
        match self.kind:
            case "mae":
                return (value - target).abs()
            case "mse":
                return (value - target) ** 2
            case "huber":
                return nn.functional.huber_loss(value, target, reduction="none")
            case "tweedie":
                return _half_tweedie_deviance(value, target, self.power)


def _half_tweedie_deviance(value: Tensor, target: Tensor, power: float) -> Tensor:
    value = value.clamp(min=_LEAST)
    low, high = 1.0 - power, 2.0 - power
    saturated = torch.where(target > 0, target.clamp(min=0.0) ** high, torch.zeros_like(target)) / (
        low * high
    )
    return saturated - target * value**low / low + value**high / high


class ValueTasksLoss(nn.Module):
    """Each value task's mean loss over its labelled rows, weighted by row; missing labels are masked.

    Args:
        losses: of each task, in the order of the columns.

    Shape:
        predictions, labels, weights: (rows, tasks), NaN being a missing label; denominators: (tasks,), the number
        of labelled rows if not given; returns (tasks,), 0 for a task without a labelled row.

    >>> labels = torch.tensor([[3.0], [float("nan")]])
    >>> ValueTasksLoss([ValueLoss("mae", scale=2.0)])(torch.tensor([[1.0], [5.0]]), labels)
    tensor([1.])
    """

    def __init__(self, losses: Sequence[ValueLoss]):
        super().__init__()
        self.losses = list(losses)

    def forward(
        self,
        predictions: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        denominators: Tensor | None = None,
    ) -> Tensor:
        labelled = ~torch.isnan(labels)
        # The mask is before the loss: a gradient of a masked NaN would be NaN.
        targets = torch.where(labelled, labels, torch.zeros_like(labels)).to(predictions.dtype)
        columns = zip(self.losses, predictions.unbind(1), targets.unbind(1), strict=True)
        losses = torch.stack([loss(*pair) for loss, *pair in columns], dim=1)
        scale = torch.ones_like(losses) if weights is None else weights.to(losses.dtype)
        total = (losses * torch.where(labelled, scale, torch.zeros_like(scale))).sum(dim=0)
        counts = labelled.sum(dim=0) if denominators is None else denominators
        return total / torch.where(counts > 0, counts, torch.ones_like(counts))
