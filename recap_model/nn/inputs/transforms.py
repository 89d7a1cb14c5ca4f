"""Element-wise transforms of continuous inputs."""

import torch
from torch import Tensor, nn

from recap_model.data.dataset.statistics import FeatureStatistics


def finite(x: Tensor) -> Tensor:
    """``x`` with 0 for NaN and infinities."""
    return torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)


class Finite(nn.Module):
    """`finite` as a module. Same shape."""

    def forward(self, x: Tensor) -> Tensor:
        return finite(x)


class SignedLog(nn.Module):
    """``sign(x) * log1p(|x|)``, which tames counts and keeps their sign. Same shape."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x) * torch.log1p(torch.abs(x))


class Clip(nn.Module):
    """Values limited to ``-magnitude .. magnitude``. Same shape."""

    def __init__(self, magnitude: float):
        super().__init__()
        self.magnitude = magnitude

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(x, -self.magnitude, self.magnitude)


class ZScore(nn.Module):
    """``(x - mean) / std`` by statistics of the training rows; a constant column is only centred.

    Until `set_statistics` it changes nothing.

    Shape:
        x: (rows, width) float; returns the same.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Take the moments of the logs. Raises ValueError if their number is not the width."""
        for name, values in (("log_mean", statistics.log_mean), ("log_std", statistics.log_std)):
            if len(values) != len(self.mean):
                raise ValueError(
                    f"statistics.{name}: {len(values)} values for {len(self.mean)} continuous columns; "
                    "run prepare again with this config"
                )
        std = torch.tensor(statistics.log_std, dtype=self.std.dtype)
        self.mean.copy_(torch.tensor(statistics.log_mean, dtype=self.mean.dtype))
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))
