"""Task weighting: fixed weights, learned uncertainty, or balanced gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed import ReduceOp, all_reduce, get_world_size, is_available, is_initialized


class FixedWeights(nn.Module):
    """Each loss times its task's weight.

    Shape:
        losses: (tasks,); returns the same.
    """

    weights: Tensor

    def __init__(self, weights: Sequence[float]):
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights), persistent=False)

    def forward(self, losses: Tensor, shared: Tensor | None) -> Tensor:
        return losses * self.weights


class UncertaintyWeights(nn.Module):
    """Each loss L as ``exp(-s) L + s / 2``, with a trained s, the log of the task's variance, that starts at 0.

    Kendall, Gal & Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018, eq. 10
    (arXiv:1705.07115). At the best s a loss L counts 1 / (2 L): a task whose loss stays large counts less.

    Shape:
        losses: (tasks,); returns the same.
    """

    def __init__(self, tasks: int):
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(tasks))

    def forward(self, losses: Tensor, shared: Tensor | None) -> Tensor:
        return torch.exp(-self.log_variances) * losses + 0.5 * self.log_variances


class GradientWeights(nn.Module):
    """Each loss times what brings its gradient, in what the tasks share, to the size of the tasks' mean.

    He et al., "MetaBalance: Improving multi-task recommendations via adapting gradient magnitudes of auxiliary
    tasks", WWW 2022, sec. 4.2 and 4.3 (arXiv:2203.06801): sizes are moving averages over steps. Here all tasks are
    equals, so their mean replaces the target task's size; and sizes are taken at the output of the
    shared layers, where a task's gradient costs a pass back through its tower alone. It has no rate and no
    exponent to tune, which GradNorm (ICML 2018) has, and was found on recommenders.

    Outside of training, and for a task whose loss has no gradient yet, weights stay as they are.

    Shape:
        losses: (tasks,); shared: any shape; returns (tasks,).
    """

    sizes: Tensor

    def __init__(self, tasks: int, decay: float = 0.9):
        super().__init__()
        self.decay = decay
        self.register_buffer("sizes", torch.zeros(tasks))

    def forward(self, losses: Tensor, shared: Tensor | None) -> Tensor:
        if self.training and shared is not None and shared.requires_grad:
            gradients = [torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses]
            self._update_sizes(torch.stack([gradient.float().norm() for gradient in gradients]))
        seen = self.sizes > 0
        mean = self.sizes.sum() / seen.sum().clamp(min=1)
        weights = torch.where(seen, mean / torch.where(seen, self.sizes, torch.ones_like(mean)), 1.0)
        return losses * weights

    @torch.no_grad()
    def _update_sizes(self, sizes: Tensor) -> None:
        if is_available() and is_initialized():
            # Each process holds other rows; their weights must be the same.
            all_reduce(sizes, ReduceOp.SUM)
            sizes /= get_world_size()
        average = self.decay * self.sizes + (1.0 - self.decay) * sizes
        moved = torch.where(self.sizes > 0, average, sizes)
        self.sizes.copy_(torch.where((sizes > 0) & sizes.isfinite(), moved, self.sizes))
