"""Synchronised batch norm, on CPU as well."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SyncBatchNorm(nn.BatchNorm1d):
    """Batch norm with mean and variance over the rows of all processes, in float32, on CPU as well.

    ``torch.nn.SyncBatchNorm`` does the same on GPUs alone. Ioffe and Szegedy, ICML 2015, algorithm 1
    (arXiv:1502.03167).

    Shape:
        x: (rows, features) float; returns the same, of the same dtype.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.float()
        count = wide.new_full((1,), len(x))
        sums: Tensor = _AllReduceSum.apply(torch.cat([wide.sum(dim=0), count]))
        rows = sums[-1].detach()
        mean = sums[:-1] / rows
        centred = wide - mean
        variance = _AllReduceSum.apply(centred.square().sum(dim=0)) / rows
        self._update_running_statistics(mean.detach(), variance.detach() * rows / (rows - 1))
        normal = centred * torch.rsqrt(variance + self.eps)
        if self.affine:
            normal = normal * self.weight + self.bias
        return normal.to(x.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def convert_batch_norms(module: nn.Module) -> None:
    """Replace every batch norm by a `SyncBatchNorm` with the same parameters and statistics."""
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if type(child) is nn.BatchNorm1d:
                setattr(part, name, _convert(child))


def _convert(norm: nn.BatchNorm1d) -> SyncBatchNorm:
    shared = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine)
    shared.weight, shared.bias = norm.weight, norm.bias
    shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
    shared.num_batches_tracked = norm.num_batches_tracked
    return shared.train(norm.training)


class _AllReduceSum(torch.autograd.Function):
    """All-reduce sum over processes, in both passes."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total
