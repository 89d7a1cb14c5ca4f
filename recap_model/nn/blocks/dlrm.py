"""DLRM: dot products between the embeddings and the dense part of the input."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recap_model.config.model.architectures import DlrmConfig
from recap_model.nn.blocks.layers import BlockOutput, linear
from recap_model.nn.blocks.mlp import Mlp
from recap_model.nn.inputs.input_layer import Inputs


class Dlrm(nn.Module):
    """``top([bottom(dense), dot products of all pairs of (bottom(dense), embeddings)])``.

    Naumov et al., "Deep learning recommendation model", 2019, section 2 (arXiv:1906.00091). Embeddings of
    another width than the bottom MLP's output are first projected to it, where the paper has one width for
    all. The shared layer is what enters the top MLP.

    Shape:
        inputs.dense: (rows, dense_width); inputs.embeddings: (rows, width) for each width of
        ``embedding_widths``; output: (rows, top_mlp.layer_sizes[-1]).
    """

    def __init__(self, config: DlrmConfig, dense_width: int, embedding_widths: Sequence[int]):
        super().__init__()
        if not dense_width or not embedding_widths:
            raise ValueError(
                "dlrm_config: needs continuous or binary columns and at least one embedding (pretrained, "
                "small or position); use another architecture, or configure them"
            )
        self.bottom = Mlp(config.bottom_mlp, dense_width)
        width = self.bottom.out_features
        self.projections = nn.ModuleList(
            nn.Identity() if size == width else linear(size, width, bias=False) for size in embedding_widths
        )
        vectors = 1 + len(embedding_widths)
        self.register_buffer("pairs", torch.tril_indices(vectors, vectors, offset=-1), persistent=False)
        self.top = Mlp(config.top_mlp, width + vectors * (vectors - 1) // 2)
        self.out_features = self.top.out_features

    pairs: Tensor

    def forward(self, inputs: Inputs) -> BlockOutput:
        dense = self.bottom(inputs.dense).output
        projected = [layer(x) for layer, x in zip(self.projections, inputs.embeddings, strict=True)]
        vectors = torch.stack([dense, *projected], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2))
        shared = torch.cat([dense, products[:, self.pairs[0], self.pairs[1]]], dim=1)
        return BlockOutput(self.top(shared).output, shared)
