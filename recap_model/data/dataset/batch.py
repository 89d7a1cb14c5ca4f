"""One batch of rows as tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from recap_model.config.data.sequences import LENGTH

Sequences = Mapping[str, Mapping[str, Tensor]]

_DENSE_EXCLUDED = ("sparse", "sequences", "history_row")


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
        sequences: for each sequence by name, its side columns by key, newest event first and padded on the right
            to the batch's longest history, which is at least 1:
            ids and categories (histories, length) int64, -1 for padding and missing ids;
            actions (histories, length, values) float32, 1 for each action taken, zeros for padding;
            numbers (histories, length) float32, and times (histories, length) float32, hours from the event to the
            impression: NaN for padding and missing values;
            ``length`` (histories,) int64, the number of events.
        history_row: (rows,) int64, the history that each row reads. Where it is None, each row has its own.
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
    sequences: Sequences | None = None
    history_row: Tensor | None = None

    def __len__(self) -> int:
        if self.history_row is not None:
            return len(self.history_row)
        lengths = [sides[LENGTH] for sides in (self.sequences or {}).values()]
        return next(
            (len(one) for one in (*self.tensors().values(), *(self.sparse or {}).values(), *lengths)), 0
        )

    def __getitem__(self, rows: slice | Tensor) -> "RecapBatch":
        """The chosen rows. Histories that rows share all stay; those that belong to one row each go with it."""
        if self.history_row is None:
            return self._each(lambda tensor: tensor[rows])
        chosen = replace(self, sequences=None)._each(lambda tensor: tensor[rows])
        return replace(chosen, sequences=self.sequences)

    def tensors(self) -> dict[str, Tensor]:
        """The dense groups that are there, labels and weights, by name."""
        names = (field.name for field in fields(self) if field.name not in _DENSE_EXCLUDED)
        present = ((name, getattr(self, name)) for name in names)
        return {name: tensor for name, tensor in present if tensor is not None}

    def _each(self, change: Callable[[Tensor], Tensor]) -> "RecapBatch":
        changed = {name: change(tensor) for name, tensor in self.tensors().items()}
        sparse = self.sparse and {name: change(tensor) for name, tensor in self.sparse.items()}
        sequences = self.sequences and {
            name: {key: change(tensor) for key, tensor in sides.items()}
            for name, sides in self.sequences.items()
        }
        history_row = None if self.history_row is None else change(self.history_row)
        return replace(self, **changed, sparse=sparse, sequences=sequences, history_row=history_row)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "RecapBatch":
        """The batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))
