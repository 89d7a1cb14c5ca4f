"""The input layer: featurized columns, embeddings and layer norms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recap_model.config.data.features import DENSE_GROUPS, EMBEDDING_GROUPS
from recap_model.config.data.sequences import Sequence as SequenceSchema
from recap_model.config.model.network import ModelConfig
from recap_model.config.model.table_columns import locate_column
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.nn.inputs.featurization import Featurization
from recap_model.nn.inputs.large_embeddings import LargeEmbeddings
from recap_model.nn.inputs.position import PositionDebias
from recap_model.nn.inputs.shared_tables import SharedTables, ids_of, pool_list
from recap_model.nn.inputs.small_embeddings import SmallEmbeddings
from recap_model.nn.inputs.transforms import finite
from recap_model.nn.names import module_key
from recap_model.nn.sequences.sequence_reader import Reading, SequenceReader


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
    """Featurized columns, then embeddings: large ones, small ones, those of shared tables, normed pretrained ones,
    the position's, what is read of sequences.

    Pretrained embeddings have a layer norm each. Values that are not finite become 0 in every group.

    Attributes:
        schemas: of the sequences that are read, with the columns that are read.

    Args:
        widths: number of columns of each dense group that the features have.
        discrete_columns, continuous_columns: names of a group's columns, where it has them one by one.
        sequences: of the features, by name.
    """

    def __init__(
        self,
        config: ModelConfig,
        widths: Mapping[str, int],
        discrete_columns: Sequence[str] = (),
        sequences: Mapping[str, SequenceSchema] | None = None,
        continuous_columns: Sequence[str] = (),
    ):
        super().__init__()
        self.widths = {group: widths[group] for group in DENSE_GROUPS if widths.get(group)}
        _check_indices(config, self.widths.get("discrete", 0))
        self.featurize = Featurization(config.featurization_config, self.widths, continuous_columns)
        large, small, position = (
            config.large_embeddings,
            config.small_embeddings,
            config.position_debias_config,
        )
        self.large_embeddings = LargeEmbeddings(large) if large is not None else None
        self.small_embeddings = SmallEmbeddings(small) if small is not None else None
        self.shared_tables = SharedTables(config.tables) if config.tables else None
        self._ids: list[Reading] = [
            (item.table, locate_column(item.column, discrete_columns)) for item in config.ids
        ]
        self.schemas = _schemas_read(config, sequences or {})
        table_widths = {name: table.embedding_dim for name, table in config.tables.items()}
        self.sequences = nn.ModuleDict(
            {
                module_key(name): SequenceReader(
                    name, config.sequences[name], schema, table_widths, discrete_columns
                )
                for name, schema in self.schemas.items()
            }
        )
        self._readings = list(dict.fromkeys([*self._ids, *self._sequence_readings()]))
        self.embedding_norms = nn.ModuleDict(
            {name: nn.LayerNorm(self.widths[name]) for name in EMBEDDING_GROUPS if name in self.widths}
        )
        self.position_debias = PositionDebias(position) if position is not None else None
        self.dense_width = self.featurize.out_features
        self.embedding_widths = [
            *(self.large_embeddings.widths if self.large_embeddings is not None else []),
            *(self.small_embeddings.widths if self.small_embeddings is not None else []),
            *(config.tables[table].embedding_dim for table, _ in self._ids),
            *(self.widths[name] for name in self.embedding_norms),
            *([self.position_debias.out_features] if self.position_debias is not None else []),
            *(config.sequences[name].width for name in self.schemas),
        ]
        self.out_features = self.dense_width + sum(self.embedding_widths)
        if not self.out_features:
            raise ValueError(
                "data_spec: no group that the model reads; give it continuous columns or embeddings"
            )

    @property
    def sparse(self) -> list[str]:
        """Names of the id lists that large embeddings and shared tables read."""
        large = self.large_embeddings.names if self.large_embeddings is not None else []
        shared = [column.name for _, column in self._ids if column.group == "sparse"]
        return list(dict.fromkeys([*large, *shared]))

    def forward(self, batch: RecapBatch) -> Inputs:
        groups = batch.tensors()
        embeddings: list[Tensor] = []
        if self.large_embeddings is not None:
            embeddings += self.large_embeddings(batch.sparse or {})
        if self.small_embeddings is not None:
            embeddings += self.small_embeddings(groups["discrete"])
        vectors = self._read_tables(batch)
        embeddings += [pool_list(vectors[reading], ids_of(batch, reading[1])) for reading in self._ids]
        embeddings += [norm(finite(groups[name])) for name, norm in self.embedding_norms.items()]
        if self.position_debias is not None:
            embeddings.append(self.position_debias(groups["discrete"]))
        for name in self.schemas:
            read = self.sequences[module_key(name)]
            embeddings.append(read((batch.sequences or {})[name], vectors, batch.history_row))
        if self.dense_width:
            return Inputs(self.featurize(groups), embeddings)
        return Inputs(embeddings[0].new_zeros((len(embeddings[0]), 0)), embeddings)

    def _sequence_readings(self) -> Iterator[Reading]:
        for reader in self.sequences.values():
            assert isinstance(reader, SequenceReader)
            yield from (*reader.event_readings.values(), *reader.candidate_readings.values())

    def _read_tables(self, batch: RecapBatch) -> dict[Reading, Tensor]:
        """What columns read of shared tables: the shape of their ids, with embedding_dim behind."""
        if self.shared_tables is None:
            return {}
        ids = [(table, ids_of(batch, column)) for table, column in self._readings]
        return dict(zip(self._readings, self.shared_tables(ids), strict=True))

    def set_statistics(self, statistics: FeatureStatistics, discrete_columns: Sequence[str]) -> None:
        """Fit the transforms and fill the vocabularies from statistics of the training rows."""
        self.featurize.set_statistics(statistics)
        if self.small_embeddings is not None:
            self.small_embeddings.set_statistics(statistics, discrete_columns)
        if self.shared_tables is not None:
            self.shared_tables.set_statistics(statistics)


def _schemas_read(config: ModelConfig, sequences: Mapping[str, SequenceSchema]) -> dict[str, SequenceSchema]:
    """The sequences that the model reads, with the columns that it reads."""
    missing = [name for name in config.sequences if name not in sequences]
    if missing:
        raise ValueError(
            f"model.sequences.{missing[0]}: what its columns are is in features.sequences; give the whole config"
        )
    return {
        name: sequences[name].model_copy(
            update={"columns": {key: sequences[name].columns[key] for key in reader.inputs}}
        )
        for name, reader in config.sequences.items()
    }


def _check_indices(config: ModelConfig, discrete: int) -> None:
    for where, index in config.discrete_indices():
        if index >= discrete:
            raise ValueError(f"{where}: {index}: the discrete group has {discrete} columns, numbered from 0")
