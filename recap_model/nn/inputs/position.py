"""Position debiasing: the position is an input in training, and unknown in serving."""

import torch
from torch import Tensor, nn

from recap_model.config.model.inputs import PositionDebiasConfig


class PositionDebias(nn.Module):
    """An embedding of ``min(position, max_position)``, with an entry of its own for "unknown".

    In training each row's position is unknown with ``drop_probability``, so that this entry learns what holds
    at any position; in evaluation every row's is. A negative position is a missing one, and unknown. After
    Haldar et al., "Improving deep learning for Airbnb search", KDD 2020, section 5 (arXiv:2002.05515), with
    an embedding instead of their scalar.

    Shape:
        discrete: (rows, columns) int64; returns (rows, num_dims).
    """

    def __init__(self, config: PositionDebiasConfig):
        super().__init__()
        self.index = config.position_feature_index
        self.max_position = config.max_position
        self.drop_probability = config.drop_probability
        self.out_features = config.num_dims
        self.unknown = config.max_position + 1
        self.table = nn.Embedding(config.max_position + 2, config.num_dims)
        nn.init.xavier_uniform_(self.table.weight)

    def forward(self, discrete: Tensor) -> Tensor:
        position = discrete[:, self.index]
        unknown = torch.full_like(position, self.unknown)
        if not self.training:
            return self.table(unknown)
        drop = torch.rand(position.shape, device=position.device) < self.drop_probability
        known = torch.clamp(position, max=self.max_position)
        return self.table(torch.where(drop | (position < 0), unknown, known))
