"""DCN v2: polynomials of the inputs, one degree a layer."""

import torch
from torch import Tensor, nn

from recap_model.config.model.architectures import DcnConfig
from recap_model.nn.blocks.layers import BlockOutput, linear
from recap_model.nn.blocks.mlp import Mlp


class Cross(nn.Module):
    """One cross layer: ``x0 * (W x + b) + x``.

    Wang et al., "DCN V2", WWW 2021, eq. 1 (arXiv:2008.13535). With ``projection_dim``, W = U V (eq. 2).

    Shape:
        x0, x: (rows, features) float; returns the same.
    """

    def __init__(self, features: int, projection_dim: int | None = None):
        super().__init__()
        if projection_dim is None:
            self.weight: nn.Module = linear(features, features)
        else:
            down = linear(features, projection_dim, bias=False)
            self.weight = nn.Sequential(down, linear(projection_dim, features))

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        return x0 * self.weight(x) + x


class Dcn(nn.Module):
    """Cross layers, with an MLP beside them (``use_parallel``) or behind them, and an MLP on top.

    Beside, the outputs of both are joined, the cross layers' first. Without ``parallel_mlp`` the cross layers
    stand alone. The shared layer is what enters the output MLP.

    Shape:
        x: (rows, in_features) float; output: (rows, out_features).
    """

    def __init__(self, config: DcnConfig, in_features: int):
        super().__init__()
        self.in_features = in_features
        self.use_parallel = config.use_parallel
        self.cross = nn.ModuleList(
            Cross(in_features, config.projection_dim) for _ in range(config.poly_degree)
        )
        self.mlp = Mlp(config.parallel_mlp, in_features) if config.parallel_mlp is not None else None
        width = in_features
        if self.mlp is not None:
            width = self.mlp.out_features + (in_features if config.use_parallel else 0)
        self.output_mlp = Mlp(config.output_mlp, width) if config.output_mlp is not None else None
        self.out_features = width if self.output_mlp is None else self.output_mlp.out_features

    def forward(self, x: Tensor) -> BlockOutput:
        shared = x
        for layer in self.cross:
            shared = layer(x, shared)
        if self.mlp is not None and self.use_parallel:
            shared = torch.cat([shared, self.mlp(x).output], dim=1)
        elif self.mlp is not None:
            shared = self.mlp(shared).output
        output = shared if self.output_mlp is None else self.output_mlp(shared).output
        return BlockOutput(output, shared)
