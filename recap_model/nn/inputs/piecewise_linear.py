"""Piecewise-linear encoding of continuous inputs, and an embedding of it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from recap_model.config.model.inputs import PiecewiseLinearConfig
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.nn.inputs.transforms import Clip, SignedLog, ZScore, finite


class PiecewiseLinearEncoding(nn.Module):
    """For each bin between two knots, how far a value is through it: 0 before, 1 behind, linear between.

    Gorishniy, Rubachev & Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS 2022,
    eq. 1 (arXiv:2203.05556); a value under the first knot or over the last is taken for that knot. A column
    with fewer knots than there is room for leaves its last bins at 0. Until `set_statistics` the knots are evenly
    spaced on 0..1.

    Args:
        bins: number of bins of each column; columns with fewer than the most leave their last ones at 0 too.

    Shape:
        x: (rows, width) finite float; returns (rows, width, most bins) in 0..1.
    """

    starts: Tensor
    lengths: Tensor

    def __init__(self, bins: Sequence[int]):
        super().__init__()
        self.bins, width = list(bins), len(bins)
        knots = torch.linspace(0.0, 1.0, max(bins) + 1)
        self.register_buffer("starts", knots[:-1].repeat(width, 1))
        self.register_buffer("lengths", (knots[1:] - knots[:-1]).repeat(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp((x.unsqueeze(-1) - self.starts) / self.lengths, 0.0, 1.0)

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Take the knots, evenly thinned where there are too many. Raises ValueError if columns differ in number."""
        if len(statistics.knots) != len(self.starts):
            raise ValueError(
                f"statistics.knots: of {len(statistics.knots)} columns, the model has {len(self.starts)} "
                "continuous ones; run prepare again with this config"
            )
        for column, (given, bins) in enumerate(zip(statistics.knots, self.bins, strict=True)):
            knots = np.asarray(given, dtype=np.float32)
            if len(knots) > bins + 1:
                knots = knots[np.linspace(0, len(knots) - 1, bins + 1).round().astype(int)]
            used = max(len(knots) - 1, 0)
            # Every finite value lies before a bin that starts beyond all of them.
            self.starts[column] = torch.finfo(self.starts.dtype).max
            self.lengths[column] = 1.0
            self.starts[column, :used] = torch.from_numpy(knots[:-1])
            self.lengths[column, :used] = torch.from_numpy(np.diff(knots))


class NumericEmbeddings(nn.Module):
    """For each column a flag where it is missing, its standardised signed log, and an embedding of its own.

    The embedding is a linear map of the `PiecewiseLinearEncoding`; it tells single values apart, as of a count
    that is mostly 0, and the log, which is clipped, carries on between and beyond what the training rows held. A
    missing or infinite value has the flag 1 and 0 for the rest.

    Args:
        columns: names of the columns, if they have names, by which the config gives some of them bins.

    Shape:
        x: (rows, width) float, not finite where missing; returns (rows, width * (2 + embedding_dim)): flags, logs,
        then the columns' embeddings.
    """

    def __init__(self, config: PiecewiseLinearConfig, width: int, columns: Sequence[str] = ()):
        super().__init__()
        bins = [config.bins_by_column.get(name, config.bins) for name in columns] or [config.bins] * width
        most = max(bins)
        self.out_features = width * (2 + config.embedding_dim)
        self.log = SignedLog()
        self.z_score = ZScore(width)
        self.clip = Clip(config.clip_magnitude)
        self.encoding = PiecewiseLinearEncoding(bins)
        self.weight = nn.Parameter(torch.empty(width, most, config.embedding_dim))
        self.bias = nn.Parameter(torch.zeros(width, config.embedding_dim))
        nn.init.uniform_(self.weight, -(most**-0.5), most**-0.5)
        with torch.no_grad():
            for column, own in enumerate(bins):
                self.weight[column] *= (most / own) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        present = torch.isfinite(x).to(x.dtype)
        known = finite(x)
        logs = self.clip(self.z_score(self.log(known))) * present
        encoded = self.encoding(known).transpose(0, 1)
        embedded = torch.matmul(encoded, self.weight).transpose(0, 1).to(x.dtype) + self.bias
        by_row = embedded * present.unsqueeze(-1)
        return torch.cat([1.0 - present, logs, by_row.flatten(1)], dim=1)
