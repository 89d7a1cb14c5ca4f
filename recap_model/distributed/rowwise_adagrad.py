"""Sparse optimizers of embedding tables: row-wise Adagrad and SGD."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Algorithm = Literal["rowwise_adagrad", "sgd"]

_CHUNK_NUMBERS = 1 << 18


class TableOptimizer(Optimizer):
    """Stochastic gradient descent, or Adagrad with one sum of squares for each entry of a table.

    Row-wise Adagrad (Mudigere et al., "Software-hardware co-design for fast and scalable training of deep learning
    recommendation models", ISCA 2022, arXiv:2104.05158): an entry with gradient g learns by
    ``-rate * g / (sqrt(h) + epsilon)``, h being the sum of the mean squares of its gradients so far. Where a batch
    reads an entry more than once, each reading's square is added, not the square of their sum: then readings need
    not be brought together first. (Of a batch in parts, torch has brought some of them together before.)

    Args:
        params: weights of (entries, width), whose gradients are sparse, or dense ones.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        algorithm: Algorithm = "rowwise_adagrad",
        epsilon: float = 1e-8,
    ):
        self.algorithm = algorithm
        super().__init__(params, {"lr": lr, "epsilon": epsilon})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every table that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group["lr"], group["epsilon"])
        return loss

    def _update(self, weight: Tensor, rate: float, epsilon: float) -> None:
        entries, gradients = _read_entries(weight)
        rates = gradients.new_full((len(entries),), -rate)
        if self.algorithm == "rowwise_adagrad":
            state = self.state[weight]
            if "squares" not in state:
                state["squares"] = weight.new_zeros(len(weight))
            squares = state["squares"]
            means = torch.linalg.vector_norm(gradients, dim=1).square_().div_(weight.shape[1])
            squares.index_add_(0, entries, means)
            rates /= squares[entries].sqrt_().add_(epsilon)
        # In pieces that stay in a cache, as a copy of all gradients would not.
        rows = max(1, _CHUNK_NUMBERS // weight.shape[1])
        for start in range(0, len(entries), rows):
            piece = slice(start, start + rows)
            steps = gradients[piece] * rates[piece].unsqueeze(1)
            # index_add_ would take several times as long; the sums' order is the same on any number of threads.
            weight.scatter_add_(0, entries[piece].unsqueeze(1).expand_as(steps), steps)


def _read_entries(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Entries with a gradient, repeated as often as they were read, and the gradients: (n,), (n, width)."""
    gradient = weight.grad
    assert gradient is not None
    if gradient.is_sparse:
        return gradient._indices()[0], gradient._values()
    entries = gradient.any(dim=1).nonzero()[:, 0]
    return entries, gradient[entries]


def with_sparse_gradients(tables: Iterable[nn.Embedding]) -> list[nn.Parameter]:
    """The tables' weights, which from now on get gradients of the entries read alone."""
    weights: list[nn.Parameter] = []
    for table in tables:
        table.sparse = True
        weights.extend(table.parameters())
    return weights
