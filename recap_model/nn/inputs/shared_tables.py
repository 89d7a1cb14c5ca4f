"""Shared embedding tables: each is read by any number of columns."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from recap_model.config.model.table_columns import TableColumn
from recap_model.config.model.tables import TableConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.data.log.id_hashing import MISSING_ID
from recap_model.nn.inputs.embedding_files import read_embedding_files
from recap_model.nn.inputs.id_tables import IdTables
from recap_model.nn.inputs.small_embeddings import IdEmbedding, Vocabulary
from recap_model.nn.names import module_key

SECTION = "model.tables"


class SharedTables(IdTables):
    """The tables of ``model.tables``, by name, each read once a batch, for all of its columns.

    Built inside `shard_tables` it holds this process's shards, and its forward pass is a collective operation: every
    process reads the same tables for every batch.

    Shape:
        readings: names of tables, each with ids of any shape, int64; returns for each ids' shape with the table's
        embedding_dim behind. Missing ids read entry 0.
    """

    def __init__(self, configs: Mapping[str, TableConfig]):
        super().__init__(list(configs.values()))
        self.widths = {name: table.embedding_dim for name, table in configs.items()}
        self._counted = [name for name, table in configs.items() if table.min_count is not None]
        self.tables: nn.ModuleDict = nn.ModuleDict(
            {
                module_key(name): self.new_table(number, table)
                for number, (name, table) in enumerate(configs.items())
            }
        )

    def table(self, name: str) -> IdEmbedding:
        """A table by its name."""
        table = self.tables[module_key(name)]
        assert isinstance(table, IdEmbedding)
        return table

    def forward(self, readings: Sequence[tuple[str, Tensor]]) -> list[Tensor]:
        if not self.training:
            return [self._read(name, ids) for name, ids in readings]
        embedded: dict[int, Tensor] = {}
        for name in self.widths:
            columns = [(place, ids) for place, (table, ids) in enumerate(readings) if table == name]
            # One look-up: torch would add up the gradients of two by entry, and row-wise Adagrad reads each alone.
            vectors = self._read(name, torch.cat([ids.flatten() for _, ids in columns]))
            pieces = vectors.split([ids.numel() for _, ids in columns])
            for (place, ids), piece in zip(columns, pieces, strict=True):
                embedded[place] = piece.view(*ids.shape, -1)
        return [embedded[place] for place in range(len(readings))]

    def _read(self, name: str, ids: Tensor) -> Tensor:
        table = self.table(name)
        if self.plan is None:
            vectors: Tensor = table(ids)
            return vectors
        entries = table.entries(ids.flatten()).view(ids.numel(), -1)
        bounds = self.bounds[list(self.widths).index(name)]
        (vectors,) = self.look_up([entries], [table.table], [bounds], self.plan.rank)
        return vectors.view(*ids.shape, -1)

    def read_files(self, configs: Mapping[str, TableConfig]) -> None:
        """Take vocabularies and values at the start from the files that the config names.

        Raises FileNotFoundError or ValueError, each naming the file.
        """
        for name, settings in configs.items():
            read_embedding_files(self.table(name), settings, f"{SECTION}.{name}")

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Fill the vocabularies of tables with ``min_count``. Raises ValueError for one without counts."""
        for name in self._counted:
            key, vocabulary = f"{SECTION}.{name}", self.table(name).vocabulary
            if key not in statistics.vocabularies:
                raise ValueError(
                    f"statistics.vocabularies: no counts of {key}, which its min_count needs; run prepare again with "
                    "this config"
                )
            assert isinstance(vocabulary, Vocabulary)
            vocabulary.fill(statistics.vocabularies[key])


def ids_of(batch: RecapBatch, column: TableColumn) -> Tensor:
    """A column's ids: (rows,) of discrete, (rows, longest list) of sparse, (histories, length) of a sequence."""
    if column.group == "sequences":
        return (batch.sequences or {})[column.name][column.key]
    if column.group == "sparse":
        return (batch.sparse or {})[column.name]
    assert batch.discrete is not None
    return batch.discrete[:, column.index]


def pool_list(vectors: Tensor, ids: Tensor) -> Tensor:
    """The sum over each row's ids of lists, (rows, width); single ids' vectors as they are."""
    return vectors if ids.ndim == 1 else (vectors * (ids != MISSING_ID).unsqueeze(-1)).sum(dim=1)
