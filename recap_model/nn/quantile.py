"""Continuous inputs of any distribution: a missing flag, a signed log and the rank among the training rows."""

import numpy as np
import torch
from torch import Tensor, nn

from recap_model.config.inputs import QuantileConfig
from recap_model.data.statistics import FeatureStatistics
from recap_model.nn.transforms import Clip, SignedLog, ZScore, finite


class QuantileRank(nn.Module):
    """The share of the training rows below a value, from 0 to 1, linear between evenly spaced quantiles.

    A value on a run of equal quantiles, such as a count that is mostly 0, has the middle rank of the run. Until
    `set_statistics` the quantiles are those of the uniform distribution on 0..1.

    Shape:
        x: (rows, width) finite float; returns the same.
    """

    quantiles: Tensor
    row_starts: Tensor

    def __init__(self, width: int, points: int):
        super().__init__()
        self.points = points
        self.register_buffer("quantiles", torch.linspace(0.0, 1.0, points).repeat(width, 1))
        self.register_buffer("row_starts", torch.arange(width) * points, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        below, up_to = self._count(x, equal=False), self._count(x, equal=True)
        last = torch.clamp(below - 1, min=0)
        low, high = self._at(last), self._at(torch.clamp(below, max=self.points - 1))
        # Under the first quantile and over the last, both are the same one: no gap to divide by, and no share.
        gap = torch.where(high > low, high - low, torch.ones_like(low))
        between = last + torch.where(high > low, (x - low) / gap, torch.zeros_like(x))
        middle_of_run = 0.5 * (below + up_to - 1)
        return torch.where(up_to > below, middle_of_run, between) / (self.points - 1)

    def _count(self, x: Tensor, equal: bool) -> Tensor:
        """How many quantiles lie under each value, or at it too: a binary search of a fixed number of steps.

        It is written out in gathers, because ``torch.searchsorted`` has no counterpart in ONNX.
        """
        count = torch.zeros_like(x, dtype=torch.int64)
        for bit in reversed(range(self.points.bit_length())):
            probe = torch.clamp(count + (1 << bit), max=self.points)
            quantile = self._at(probe - 1)
            count = torch.where(quantile <= x if equal else quantile < x, probe, count)
        return count

    def _at(self, place: Tensor) -> Tensor:
        return self.quantiles.flatten()[place + self.row_starts]

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Take the quantiles, as many as are kept. Raises ValueError if they are not of as many columns."""
        given = statistics.quantiles
        if len(given) != len(self.quantiles):
            raise ValueError(
                f"statistics.quantiles: of {len(given)} columns, the model has {len(self.quantiles)} continuous "
                "ones; build the dataset again with this config"
            )
        shares = np.linspace(0.0, 1.0, self.points)
        kept = [np.interp(shares, np.linspace(0.0, 1.0, len(column)), column) for column in given]
        self.quantiles.copy_(torch.from_numpy(np.stack(kept)).to(self.quantiles))


class QuantileTransform(nn.Module):
    """Three inputs for each column: 1 where it is missing, its standardised signed log, its rank.

    The log is clipped; the rank runs from -1 to 1. A missing or infinite value has 0 for both.

    Shape:
        x: (rows, width) float, not finite where missing; returns (rows, 3 * width): flags, logs, ranks.
    """

    outputs_per_column = 3

    def __init__(self, config: QuantileConfig, width: int):
        super().__init__()
        self.log = SignedLog()
        self.z_score = ZScore(width)
        self.clip = Clip(config.clip_magnitude)
        self.rank = QuantileRank(width, config.points)

    def forward(self, x: Tensor) -> Tensor:
        present = torch.isfinite(x).to(x.dtype)
        known = finite(x)
        logs = self.clip(self.z_score(self.log(known)))
        ranks = 2.0 * self.rank(known) - 1.0
        return torch.cat([1.0 - present, logs * present, ranks * present], dim=1)
