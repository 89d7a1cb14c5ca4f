"""What every block hands back, and how its linear layers start."""

from typing import NamedTuple

from torch import Tensor, nn


class BlockOutput(NamedTuple):
    """A block's output, and the layer inside it that other heads may share.

    Shape:
        output: (rows, out_features).
        shared_layer: (rows, width); which layer it is, each block says.
    """

    output: Tensor
    shared_layer: Tensor


def linear(in_features: int, out_features: int, bias: bool = True) -> nn.Linear:
    """A linear layer with Xavier-uniform weights (Glorot & Bengio, AISTATS 2010) and zero bias."""
    layer = nn.Linear(in_features, out_features, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
