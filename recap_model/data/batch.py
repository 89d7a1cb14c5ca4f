"""One batch of rows as tensors."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class RecapBatch:
    """Rows of a dataset, a tensor for each group; a group that is not configured is None.

    Shape:
        continuous, binary: (rows, width) float32; NaN is a missing value.
        discrete: (rows, width) int64; -1 is a missing id.
        user_embedding, user_eng_embedding, author_embedding: (rows, width) float32.
        labels: (rows, tasks) float32, columns in the order of the model's tasks; 0, 1, or NaN where missing.
        weights: (rows, tasks) float32.
    """

    continuous: Tensor | None = None
    binary: Tensor | None = None
    discrete: Tensor | None = None
    user_embedding: Tensor | None = None
    user_eng_embedding: Tensor | None = None
    author_embedding: Tensor | None = None
    labels: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return next((len(tensor) for tensor in self.tensors().values()), 0)

    def __getitem__(self, rows: slice | Tensor) -> "RecapBatch":
        return replace(self, **{name: tensor[rows] for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """The groups that are there, by name."""
        present = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: tensor for name, tensor in present if tensor is not None}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "RecapBatch":
        """The batch on another device."""
        moved = {
            name: tensor.to(device, non_blocking=non_blocking) for name, tensor in self.tensors().items()
        }
        return replace(self, **moved)

    def pin_memory(self) -> "RecapBatch":
        """The batch in page-locked memory, from which a GPU copies without waiting."""
        return replace(self, **{name: tensor.pin_memory() for name, tensor in self.tensors().items()})
