"""Large embedding tables, each pooled over a list of ids."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from recap_model.config.model.inputs import LargeEmbeddingsConfig
from recap_model.distributed.sharded_tables import NO_ENTRY
from recap_model.nn.inputs.embedding_files import read_embedding_files
from recap_model.nn.inputs.id_tables import IdTables
from recap_model.nn.inputs.small_embeddings import MISSING_ID, IdEmbedding


class LargeEmbeddings(IdTables):
    """All large tables, sum-pooled over each row's ids, in the order of the config.

    Built inside `shard_tables` it holds this process's shards, and its forward pass is a collective operation.

    Shape:
        sparse: for each table, by its name, (rows, longest list) int64, -1 behind a shorter list's end;
        returns for each table (rows, embedding_dim), zeros for a row without ids.
    """

    def __init__(self, config: LargeEmbeddingsConfig):
        super().__init__(config.tables)
        self.widths = [table.embedding_dim for table in config.tables]
        self.names = [table.name for table in config.tables]
        self.tables: nn.ModuleList = nn.ModuleList(
            self.new_table(number, table) for number, table in enumerate(config.tables)
        )

    def forward(self, sparse: Mapping[str, Tensor]) -> list[Tensor]:
        if self.plan is not None:
            return self._look_up_sharded(sparse, self.plan.rank)
        return [
            _sum_entries(table, sparse[name]) for name, table in zip(self.names, self.tables, strict=True)
        ]

    def _look_up_sharded(self, sparse: Mapping[str, Tensor], rank: int) -> list[Tensor]:
        entries, parts = [], []
        for name, table in zip(self.names, self.tables, strict=True):
            assert isinstance(table, IdEmbedding)
            entries.append(table.entries(sparse[name]).masked_fill(sparse[name] == MISSING_ID, NO_ENTRY))
            parts.append(table.table)
        return self.look_up(entries, parts, self.bounds, rank)

    def read_files(self, config: LargeEmbeddingsConfig) -> None:
        """Take vocabularies and values at the start from the files that the config names.

        Raises:
            FileNotFoundError: a file is not there.
            ValueError: a file does not fit its table.
        """
        for table, settings in zip(self.tables, config.tables, strict=True):
            assert isinstance(table, IdEmbedding)
            read_embedding_files(table, settings, "model.large_embeddings")


def _sum_entries(table: nn.Module, ids: Tensor) -> Tensor:
    assert isinstance(table, IdEmbedding)
    entries, present = table.entries(ids), ids != MISSING_ID
    if torch.compiler.is_exporting():
        # A program with bags would take two rows or more, and never one.
        read: Tensor = table.table(entries)
        return (read * present.unsqueeze(-1)).sum(dim=1)
    weight = table.table.weight
    return embedding_bag(
        entries, weight, mode="sum", sparse=table.table.sparse, per_sample_weights=present.to(weight.dtype)
    )
