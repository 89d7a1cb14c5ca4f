"""Transform continuous inputs, and concatenate them with other groups.

Values that are not finite (missing ones are NaN) become 0 in every group, before everything else; but for
piecewise_linear_config, which tells the net that they are missing.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from recap_model.config.model.architectures import BatchNormConfig
from recap_model.config.model.inputs import FeaturizationConfig, LayerNormConfig
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.nn.inputs.piecewise_linear import NumericEmbeddings, PiecewiseLinearEncoding
from recap_model.nn.inputs.transforms import Clip, Finite, SignedLog, ZScore, finite

# An epsilon of 0 would divide by zero on a constant row. In float32 this is far below the variance of any
# other row, and keeps a constant one near 0.
SMALLEST_EPSILON = 1e-8


class Featurization(nn.Module):
    """Transformed continuous inputs, joined to the groups of ``feature_names_to_concat``.

    Groups that the features do not have are left out. The published featurization, double_norm_log, takes the
    layer norm over the joined inputs; its ``epsilon`` of 0 is read as `SMALLEST_EPSILON`.

    Args:
        widths: number of columns of each group that the features have.
        continuous_columns: names of the continuous group's columns, where it has them one by one.

    Shape:
        groups: each (rows, width of the group); returns (rows, out_features).
    """

    def __init__(
        self,
        config: FeaturizationConfig,
        widths: Mapping[str, int],
        continuous_columns: Sequence[str] = (),
    ):
        super().__init__()
        width = widths.get("continuous", 0)
        self.joined = [name for name in config.feature_names_to_concat if name in widths]
        self.continuous = _transform(config, width, continuous_columns) if width else None
        if isinstance(self.continuous, NumericEmbeddings):
            width = self.continuous.out_features
        self.out_features = width + sum(widths[name] for name in self.joined)
        norm = config.double_norm_log_config and config.double_norm_log_config.layer_norm_config
        self.layer_norm = (
            _layer_norm(norm, self.out_features) if norm and self.out_features else nn.Identity()
        )

    def forward(self, groups: Mapping[str, Tensor]) -> Tensor:
        parts = [finite(groups[name]) for name in self.joined]
        if self.continuous is not None:
            parts.insert(0, self.continuous(groups["continuous"]))
        return self.layer_norm(torch.cat(parts, dim=1))

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Fit the transforms that need statistics of the training rows."""
        for module in self.modules():
            if isinstance(module, ZScore | PiecewiseLinearEncoding):
                module.set_statistics(statistics)


def _transform(config: FeaturizationConfig, width: int, columns: Sequence[str]) -> nn.Module:
    if config.piecewise_linear_config is not None:
        return NumericEmbeddings(config.piecewise_linear_config, width, columns)
    steps: OrderedDict[str, nn.Module] = OrderedDict(finite=Finite(), log=SignedLog())
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
