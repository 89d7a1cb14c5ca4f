"""The input layer: featurized columns, embeddings and layer norms."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recap_model.config.data.features import DENSE_GROUPS, EMBEDDING_GROUPS
from recap_model.config.model.network import ModelConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.nn.inputs.featurization import Featurization
from recap_model.nn.inputs.large_embeddings import LargeEmbeddings
from recap_model.nn.inputs.position import PositionDebias
from recap_model.nn.inputs.small_embeddings import SmallEmbeddings
from recap_model.nn.inputs.transforms import finite


class Inputs(NamedTuple):
    """What the net sees of each row.

    Shape:
        dense: (rows, featurized columns); the width may be 0.
        embeddings: one (rows, width) for each embedding, in the order in which they are joined.
    """

    dense: Tensor
    embeddings: list[Tensor]

    def joined(self) -> Tensor:
        """All in one tensor of (rows, inputs)."""
        return torch.cat([self.dense, *self.embeddings], dim=1)


class InputLayer(nn.Module):
    """Featurized columns, then embeddings: large ones, small ones, normed pretrained ones, the position's.

    Pretrained embeddings have a layer norm each. Values that are not finite become 0 in every group.

    Args:
        widths: number of columns of each dense group that the features have.
    """

    def __init__(self, config: ModelConfig, widths: Mapping[str, int]):
        super().__init__()
        self.widths = {group: widths[group] for group in DENSE_GROUPS if widths.get(group)}
        _check_indices(config, self.widths.get("discrete", 0))
        self.featurize = Featurization(config.featurization_config, self.widths)
        large, small, position = (
            config.large_embeddings,
            config.small_embeddings,
            config.position_debias_config,
        )
        self.large_embeddings = LargeEmbeddings(large) if large is not None else None
        self.small_embeddings = SmallEmbeddings(small) if small is not None else None
        self.embedding_norms = nn.ModuleDict(
            {name: nn.LayerNorm(self.widths[name]) for name in EMBEDDING_GROUPS if name in self.widths}
        )
        self.position_debias = PositionDebias(position) if position is not None else None
        self.dense_width = self.featurize.out_features
        self.embedding_widths = [
            *(self.large_embeddings.widths if self.large_embeddings is not None else []),
            *(self.small_embeddings.widths if self.small_embeddings is not None else []),
            *(self.widths[name] for name in self.embedding_norms),
            *([self.position_debias.out_features] if self.position_debias is not None else []),
        ]
        self.out_features = self.dense_width + sum(self.embedding_widths)
        if not self.out_features:
            raise ValueError(
                "data_spec: no group that the model reads; give it continuous columns or embeddings"
            )

    @property
    def sparse(self) -> list[str]:
        """Names of the id lists that the large embeddings read."""
        return self.large_embeddings.names if self.large_embeddings is not None else []

    def forward(self, batch: RecapBatch) -> Inputs:
        groups = batch.tensors()
        embeddings: list[Tensor] = []
        if self.large_embeddings is not None:
            embeddings += self.large_embeddings(batch.sparse or {})
        if self.small_embeddings is not None:
            embeddings += self.small_embeddings(groups["discrete"])
        embeddings += [norm(finite(groups[name])) for name, norm in self.embedding_norms.items()]
        if self.position_debias is not None:
            embeddings.append(self.position_debias(groups["discrete"]))
        if self.dense_width:
            return Inputs(self.featurize(groups), embeddings)
        return Inputs(embeddings[0].new_zeros((len(embeddings[0]), 0)), embeddings)

    def set_statistics(self, statistics: FeatureStatistics, discrete_columns: Sequence[str]) -> None:
        """Fit the transforms and fill the vocabularies from statistics of the training rows."""
        self.featurize.set_statistics(statistics)
        if self.small_embeddings is not None:
            self.small_embeddings.set_statistics(statistics, discrete_columns)


def _check_indices(config: ModelConfig, discrete: int) -> None:
    for where, index in config.discrete_indices():
        if index >= discrete:
            raise ValueError(f"{where}: {index}: the discrete group has {discrete} columns, numbered from 0")
