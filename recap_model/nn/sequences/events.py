"""The events of a batch's histories, and the rows that read them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Events(NamedTuple):
    """What a reader sees of a sequence.

    Shape:
        vectors: (histories, length, width), newest event first; those of padding are any numbers.
        present: (histories, length) bool, false for padding.
        history_row: (rows,) int64, the history of each row; None where each row has its own.
    """

    vectors: Tensor
    present: Tensor
    history_row: Tensor | None

    def by_row(self, by_history: Tensor) -> Tensor:
        """What each row reads of a tensor of (histories, ...): (rows, ...)."""
        if self.history_row is None:
            return by_history
        # Asked first: to look at a size would fix it in an exported graph.
        if not torch.compiler.is_compiling() and by_history.shape[0] == 1:
            return by_history.expand(len(self.history_row), *by_history.shape[1:])
        return by_history.index_select(0, self.history_row)
