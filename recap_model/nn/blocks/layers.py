"""The output type of every block, and how linear layers are initialised."""

from typing import NamedTuple

import torch
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


def cast_for_matmul(x: Tensor) -> Tensor:
    """``x`` in the type that autocast multiplies matrices in; as it is where autocast is off.

    Autocast casts an input anew for each layer that reads it, and back for what is element-wise between them.
    Where many layers read one input, that takes longer than their products.
    """
    if not torch.is_autocast_enabled(x.device.type):
        return x
    return x.to(torch.get_autocast_dtype(x.device.type))
