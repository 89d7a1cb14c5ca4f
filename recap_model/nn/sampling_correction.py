"""Correct probabilities for label-dependent down-sampling."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class NumericCalibration(nn.Module):
    """The probability before label-dependent down-sampling, ``p r / (1 - p + p r)``.

    It multiplies the odds by r = negative rate / positive rate (Elkan, "The foundations of cost-sensitive
    learning", IJCAI 2001, theorem 2). Rates are the fractions of the positives and of the negatives that were kept,
    one for all or one for each task.

    Shape:
        probabilities: (rows, tasks), or any shape for single rates; returns the same.

    >>> NumericCalibration(positive_rate=1.0, negative_rate=0.01)(torch.tensor([0.5]))
    tensor([0.0099])
    """

    ratio: Tensor

    def __init__(
        self, positive_rate: float | Sequence[float] = 1.0, negative_rate: float | Sequence[float] = 1.0
    ):
        super().__init__()
        for name, rates in (("positive_rate", positive_rate), ("negative_rate", negative_rate)):
            for rate in rates if isinstance(rates, Sequence) else [rates]:
                if not 0.0 < rate <= 1.0:
                    raise ValueError(f"{name}: {rate}: a sampling rate is over 0 and at most 1")
        positive = torch.tensor(positive_rate, dtype=torch.float64)
        negative = torch.tensor(negative_rate, dtype=torch.float64)
        self.register_buffer("ratio", (negative / positive).float())

    def forward(self, probabilities: Tensor) -> Tensor:
        odds = probabilities * self.ratio
        return odds / (1.0 - probabilities + odds)

    def shift(self, logits: Tensor) -> Tensor:
        """The same on logits, where it adds ``log r`` and nothing is lost to rounding near 0 and 1."""
        return logits + torch.log(self.ratio)
