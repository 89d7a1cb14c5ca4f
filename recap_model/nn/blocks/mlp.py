"""Fully connected layers."""

from torch import Tensor, nn

from recap_model.config.model.architectures import MlpConfig
from recap_model.nn.blocks.layers import BlockOutput, linear


class Mlp(nn.Module):
    """Hidden layers of linear, batch norm, ReLU, drop-out; then a last linear layer.

    The last layer has a ReLU with ``final_layer_activation``, and never a norm or a drop-out. The shared
    layer is the first hidden activation; with one layer alone it is the output.

    Shape:
        x: (rows, in_features) float; output: (rows, layer_sizes[-1]).

    >>> import torch
    >>> net = Mlp(MlpConfig(layer_sizes=[8, 1]), in_features=3)
    >>> net(torch.ones(2, 3)).output.shape
    torch.Size([2, 1])
    """

    def __init__(self, config: MlpConfig, in_features: int):
        super().__init__()
        self.in_features = in_features
        self.out_features = config.layer_sizes[-1]
        layers: list[nn.Module] = []
        width = in_features
        for size in config.layer_sizes[:-1]:
            layers.append(linear(width, size))
            if config.batch_norm is not None:
                norm = config.batch_norm
                layers.append(nn.BatchNorm1d(size, affine=norm.affine, momentum=norm.momentum))
            layers.append(nn.ReLU())
            if config.dropout is not None:
                layers.append(nn.Dropout(config.dropout.rate))
            width = size
        layers.append(linear(width, self.out_features))
        if config.final_layer_activation:
            layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers)
        first_activation = (index for index, layer in enumerate(layers) if isinstance(layer, nn.ReLU))
        self._shared_index = next(first_activation, len(layers) - 1)

    def forward(self, x: Tensor) -> BlockOutput:
        shared = self.layers[: self._shared_index + 1](x)
        return BlockOutput(self.layers[self._shared_index + 1 :](shared), shared)
