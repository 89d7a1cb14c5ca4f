"""MaskNet: layers multiplied by a mask that the input itself computes."""

import torch
from torch import Tensor, nn

from recap_model.config.model.architectures import MaskBlockConfig, MaskNetConfig
from recap_model.nn.blocks.layers import BlockOutput, cast_for_matmul, linear
from recap_model.nn.blocks.mlp import Mlp


class MaskBlock(nn.Module):
    """One block: ``LN(W (LN(x) * mask(m)))`` with ``mask(m) = W2 relu(W1 m)``, all with biases.

    Wang, She & Zhang, "MaskNet", DLP-KDD 2021, eq. 3 to 6 (arXiv:2102.07619). The inner norm is optional, and
    no ReLU follows the outer one: both as in the published ranker, not as in the paper.

    Shape:
        x: (rows, in_features); mask_input: (rows, mask_features); returns (rows, output_size).
    """

    def __init__(self, config: MaskBlockConfig, in_features: int, mask_features: int):
        super().__init__()
        self.out_features = config.output_size
        if config.aggregation_size is not None:
            aggregation = config.aggregation_size
        else:
            aggregation = int(mask_features * (config.reduction_factor or 0.0))
        if aggregation < 1:
            raise ValueError(
                f"mask_blocks.reduction_factor: {config.reduction_factor} of {mask_features} inputs leaves "
                "the mask no hidden unit; give a larger factor or an aggregation_size"
            )
        self.input_norm = nn.LayerNorm(in_features) if config.input_layer_norm else nn.Identity()
        self.mask = nn.Sequential(
            linear(mask_features, aggregation), nn.ReLU(), linear(aggregation, in_features)
        )
        self.hidden = linear(in_features, config.output_size)
        self.norm = nn.LayerNorm(config.output_size)

    def forward(self, x: Tensor, mask_input: Tensor) -> Tensor:
        return self.norm(self.hidden(cast_for_matmul(self.input_norm(x)) * self.mask(mask_input)))


class MaskNet(nn.Module):
    """Mask blocks, and an MLP on what they give. Every block's mask is computed from the net's input.

    With ``use_parallel`` each block sees the net's input and their outputs are joined; otherwise a block sees
    the output of the one before. The shared layer is what the blocks give, before the MLP.

    Shape:
        x: (rows, in_features) float; output: (rows, out_features).
    """

    def __init__(self, config: MaskNetConfig, in_features: int):
        super().__init__()
        self.in_features = in_features
        self.use_parallel = config.use_parallel
        blocks: list[MaskBlock] = []
        width = in_features
        for block in config.mask_blocks:
            blocks.append(MaskBlock(block, width, in_features))
            width = in_features if config.use_parallel else block.output_size
        self.mask_blocks = nn.ModuleList(blocks)
        if config.use_parallel:
            width = sum(block.out_features for block in blocks)
        self.mlp = Mlp(config.mlp, width) if config.mlp is not None else None
        self.out_features = width if self.mlp is None else self.mlp.out_features

    def forward(self, x: Tensor) -> BlockOutput:
        x = cast_for_matmul(x)
        if self.use_parallel:
            shared = torch.cat([block(x, x) for block in self.mask_blocks], dim=1)
        else:
            shared = x
            for block in self.mask_blocks:
                shared = block(shared, x)
        return BlockOutput(shared if self.mlp is None else self.mlp(shared).output, shared)
