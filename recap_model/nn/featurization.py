"""How continuous inputs are transformed, and joined to binary ones.

Values that are not finite (missing ones are NaN) become 0 in every group, before everything else.
"""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recap_model.config.model import BatchNormConfig, FeaturizationConfig, LayerNormConfig
from recap_model.data.statistics import FeatureStatistics

# An epsilon of 0 would divide by zero on a constant row. In float32 this is far below the variance of any
# other row, and keeps a constant one near 0.
SMALLEST_EPSILON = 1e-8


def finite(x: Tensor) -> Tensor:
    """``x`` with 0 for NaN and infinities."""
    return torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)


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
                    "build the dataset again with this config"
                )
        std = torch.tensor(statistics.log_std, dtype=self.std.dtype)
        self.mean.copy_(torch.tensor(statistics.log_mean, dtype=self.mean.dtype))
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))


class Featurization(nn.Module):
    """Transformed continuous inputs, joined to the groups of ``feature_names_to_concat``.

    Groups that the features do not have are left out. The published featurization, double_norm_log, takes the
    layer norm over the joined inputs; its ``epsilon`` of 0 is read as `SMALLEST_EPSILON`.

    Args:
        widths: number of columns of each group that the features have.

    Shape:
        groups: each (rows, width of the group); returns (rows, out_features).
    """

    def __init__(self, config: FeaturizationConfig, widths: Mapping[str, int]):
        super().__init__()
        width = widths.get("continuous", 0)
        self.joined = [name for name in config.feature_names_to_concat if name in widths]
        self.continuous = _transform(config, width) if width else None
        self.out_features = width + sum(widths[name] for name in self.joined)
        norm = config.double_norm_log_config and config.double_norm_log_config.layer_norm_config
        self.layer_norm = (
            _layer_norm(norm, self.out_features) if norm and self.out_features else nn.Identity()
        )

    def forward(self, groups: Mapping[str, Tensor]) -> Tensor:
        parts = [finite(groups[name]) for name in self.joined]
        if self.continuous is not None:
            parts.insert(0, self.continuous(finite(groups["continuous"])))
        return self.layer_norm(torch.cat(parts, dim=1))

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Fit the transforms that need statistics of the training rows."""
        for module in self.modules():
            if isinstance(module, ZScore):
                module.set_statistics(statistics)


def _transform(config: FeaturizationConfig, width: int) -> nn.Sequential:
    steps: OrderedDict[str, nn.Module] = OrderedDict(log=SignedLog())
    if config.double_norm_log_config is not None:
        double = config.double_norm_log_config
        if double.batch_norm_config is not None:
            steps["batch_norm"] = _batch_norm(double.batch_norm_config, width)
        steps["clip"] = Clip(double.clip_magnitude)
    elif config.z_score_log_config is not None:
        z_score = config.z_score_log_config
        steps["z_score"] = ZScore(width)
        steps["clip"] = Clip(z_score.clip_magnitude)
        if z_score.batch_norm_config is not None:
            steps["batch_norm"] = _batch_norm(z_score.batch_norm_config, width)
    elif config.clip_log1p_abs_config is not None:
        steps["clip"] = Clip(config.clip_log1p_abs_config.clip_magnitude)
    return nn.Sequential(steps)


def _batch_norm(config: BatchNormConfig, width: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(width, affine=config.affine, momentum=config.momentum)


def _layer_norm(config: LayerNormConfig, width: int) -> nn.LayerNorm:
    epsilon = max(config.epsilon, SMALLEST_EPSILON)
    return nn.LayerNorm(width, eps=epsilon, elementwise_affine=config.scale)
