"""Embedding tables of ids that may be sharded over processes."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from recap_model.config.model.inputs import LargeEmbeddingTableConfig
from recap_model.config.model.tables import TableConfig
from recap_model.distributed.sharded_tables import Bounds, current_sharding_plan, look_up_sharded
from recap_model.nn.inputs.small_embeddings import IdEmbedding, Vocabulary


class IdTables(nn.Module):
    """Tables in a container ``tables``; built inside `shard_tables`, this process's shards of them.

    Attributes:
        plan: how they are sharded; None if each process holds full tables.
        bounds: of each table, in order, what each process holds.
        look_up: `look_up_sharded`.
    """

    tables: nn.ModuleList | nn.ModuleDict

    def __init__(self, configs: Sequence[LargeEmbeddingTableConfig | TableConfig]):
        super().__init__()
        self.plan = current_sharding_plan()
        shapes = [(table.num_embeddings, table.embedding_dim) for table in configs]
        self.bounds: list[list[Bounds]] = self.plan.bounds(shapes) if self.plan is not None else []
        if self.plan is not None:
            # Not a decorator: it would load the compiler with every import.
            self.look_up = torch.compiler.disable(look_up_sharded)

    def new_table(self, number: int, config: LargeEmbeddingTableConfig | TableConfig) -> IdEmbedding:
        """The table of a config, or its shard, at its start."""
        min_count = config.min_count if isinstance(config, TableConfig) else None
        vocabulary = None
        if config.vocab is not None or min_count is not None:
            vocabulary = Vocabulary(config.num_embeddings - 1, min_count or 1)
        return IdEmbedding(
            config.num_embeddings,
            config.embedding_dim,
            vocabulary,
            config.hash,
            self.bounds[number][self.plan.rank] if self.plan is not None else None,
            config.hashes if isinstance(config, TableConfig) else 1,
        )

    def sharded_weights(self) -> Iterator[tuple[str, list[Bounds]]]:
        """The name of each sharded parameter in this module, and what each process holds of it."""
        keys = [key for key, _ in self.tables.named_children()] if self.plan is not None else []
        for key, bounds in zip(keys, self.bounds, strict=True):
            yield f"tables.{key}.table.weight", bounds

    def unshard(self, weights: Sequence[Tensor]) -> None:
        """Replace the shards by full tables with these weights."""
        self.plan, self.bounds = None, []
        for table, weight in zip(self.tables.children(), weights, strict=True):
            assert isinstance(table, IdEmbedding)
            table.first = 0
            table.table = nn.Embedding.from_pretrained(weight, freeze=False)
