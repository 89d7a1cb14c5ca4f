"""The process group of distributed training: ranks, reductions, and the loss over the global batch."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class ProcessGroup:
    """This process's rank, the number of processes, and its device; a single process by default."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def shard(self) -> tuple[int, int]:
        """This process's shard of every batch, for `DatasetReader`."""
        return self.rank, self.size

    def sum_counts(self, *numbers: int) -> list[int]:
        """The sum of each number over the processes."""
        if self.size == 1:
            return list(numbers)
        shared = torch.tensor(numbers, device=self.device)
        dist.all_reduce(shared)
        return [int(number) for number in shared.tolist()]

    def all_reduce(self, own: Tensor) -> Tensor:
        """The element-wise sum over processes, (n,) to (n,)."""
        if self.size == 1:
            return own
        total = own.clone()
        dist.all_reduce(total)
        return total

    def global_norm(self, own: Tensor) -> Tensor:
        """The norm over all processes, from each process's local norm."""
        return self.all_reduce(own.square()).sqrt()

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in the order of their ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


@contextmanager
def init_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Initialise the process group of a torchrun job, and destroy it when the block ends.

    The backend is NCCL with one GPU per process if ``device`` is a GPU, else Gloo.
    """
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def use_global_loss(loss: Callable[..., object], process_group: ProcessGroup, rows: int) -> None:
    """Compute ``loss`` and its gradients over the global batch: gather its inputs from all processes.

    A mean over each process's own rows would weigh rows unequally, where labels are missing or processes hold
    different numbers of rows. Logits, labels and weights are small; features stay where they are.

    Args:
        loss: called with logits, labels and weights, each (rows, tasks); a label that is NaN counts for nothing.
        rows: upper bound of the rows per process.
    """
    if process_group.size > 1:
        assert isinstance(loss, nn.Module)
        loss.register_forward_pre_hook(
            lambda _, inputs: _gather_inputs(*inputs, process_group=process_group, rows=rows)
        )


def _gather_inputs(
    logits: Tensor, labels: Tensor, weights: Tensor, *, process_group: ProcessGroup, rows: int
) -> tuple[Tensor, ...]:
    tasks = logits.shape[1]
    own = torch.cat([logits.detach().float(), labels, weights], dim=1)
    sent = own.new_zeros(rows, own.shape[1])
    sent[: len(own)] = own
    sent[len(own) :, tasks : 2 * tasks] = torch.nan
    received = [torch.empty_like(sent) for _ in range(process_group.size)]
    dist.all_gather(received, sent)
    parts = [part[:, :tasks] for part in received]
    parts[process_group.rank] = _pad(_ScaleGradient.apply(logits, process_group.size), rows)
    every_label, every_weight = torch.cat(received)[:, tasks:].chunk(2, dim=1)
    return torch.cat(parts), every_label, every_weight


def _pad(rows: Tensor, count: int) -> Tensor:
    return nn.functional.pad(rows, (0, 0, 0, count - len(rows)))


class _ScaleGradient(torch.autograd.Function):
    """Multiplies the gradient by the number of processes, by which DistributedDataParallel divides it."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, processes: int) -> Tensor:
        ctx.processes = processes
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.processes, None
