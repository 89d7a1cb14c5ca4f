"""One batch of rows as tensors."""

from collections.abc import Callable, Mapping
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
        sparse: for each column of id lists (rows, longest list) int64, shorter lists filled up with -1.
    """

    continuous: Tensor | None = None
    binary: Tensor | None = None
    discrete: Tensor | None = None
    user_embedding: Tensor | None = None
    user_eng_embedding: Tensor | None = None
    author_embedding: Tensor | None = None
    labels: Tensor | None = None
    weights: Tensor | None = None
    sparse: Mapping[str, Tensor] | None = None

    def __len__(self) -> int:
        return next((len(tensor) for tensor in (*self.tensors().values(), *(self.sparse or {}).values())), 0)

    def __getitem__(self, rows: slice | Tensor) -> "RecapBatch":
        return self._each(lambda tensor: tensor[rows])

    def tensors(self) -> dict[str, Tensor]:
        """The groups that are there, by name, but for ``sparse``."""
        names = (field.name for field in fields(self) if field.name != "sparse")
        present = ((name, getattr(self, name)) for name in names)
        return {name: tensor for name, tensor in present if tensor is not None}

    def _each(self, change: Callable[[Tensor], Tensor]) -> "RecapBatch":
        changed = {name: change(tensor) for name, tensor in self.tensors().items()}
        sparse = self.sparse and {name: change(tensor) for name, tensor in self.sparse.items()}
        return replace(self, **changed, sparse=sparse)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "RecapBatch":
        """The batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))
