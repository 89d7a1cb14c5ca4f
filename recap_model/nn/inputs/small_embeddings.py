"""Small embedding tables, each read by one discrete column."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recap_model.config.model.inputs import SmallEmbeddingsConfig
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.data.log.id_hashing import MISSING_ID, hash_buckets
from recap_model.distributed.sharded_tables import Bounds, init_shard

EMPTY_SLOT = torch.iinfo(torch.int64).max


class Vocabulary(nn.Module):
    """Maps an id to its rank in a sorted vocabulary: 1 for the first, 0 for an unknown id.

    A binary search of a fixed number of steps, written out in gathers and comparisons, because
    ``torch.searchsorted`` has no counterpart in ONNX. Empty slots hold the largest int64.

    Shape:
        ids: (rows,) int64; returns (rows,) int64 in 0..size.
    """

    ids: Tensor

    def __init__(self, size: int, min_count: int = 1):
        super().__init__()
        self.size = size
        self.min_count = min_count
        self.register_buffer("ids", torch.full((size,), EMPTY_SLOT))

    def forward(self, ids: Tensor) -> Tensor:
        position = torch.zeros_like(ids)
        for bit in reversed(range(self.size.bit_length())):
            probe = torch.clamp(position + (1 << bit), max=self.size - 1)
            position = torch.where(self.ids[probe] <= ids, probe, position)
        known = (self.ids[position] == ids) & (ids != EMPTY_SLOT)
        return torch.where(known, position + 1, torch.zeros_like(position))

    def fill(self, counts: dict[int, int]) -> None:
        """Keep the most frequent of the ids that occur at least ``min_count`` times, the lesser id first."""
        frequent = [
            (-count, id_) for id_, count in counts.items() if count >= self.min_count and id_ != MISSING_ID
        ]
        self.set_ids(sorted(id_ for _, id_ in sorted(frequent)[: self.size]))

    def set_ids(self, ids: Sequence[int]) -> None:
        """Set the vocabulary to these ids, sorted and at most ``size``."""
        self.ids.fill_(EMPTY_SLOT)
        self.ids[: len(ids)] = torch.tensor(ids, dtype=torch.int64)


class IdEmbedding(nn.Module):
    """One table. Its entry 0 is the unknown id: a missing one, one outside the table or the vocabulary.

    Args:
        bounds: the first entry of those held here and the one behind the last, of a part of a table.
        hashes: entries that an id reads where ids are hashed, each by another hash; they are summed (Serrà and
            Karatzoglou, "Getting deep recommenders fit: Bloom embeddings", RecSys 2017, arXiv:1706.03993).

    Shape:
        ids: any shape of int64; returns that shape with embedding_dim behind.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        vocabulary: Vocabulary | None = None,
        hash_ids: bool = False,
        bounds: Bounds | None = None,
        hashes: int = 1,
    ):
        super().__init__()
        self.hash_ids = hash_ids
        self.hashes = hashes
        self.num_embeddings = num_embeddings
        self.first, last = bounds or (0, num_embeddings)
        weight = init_shard(num_embeddings, embedding_dim, (self.first, last))
        self.table = nn.Embedding.from_pretrained(weight, freeze=False)
        self.vocabulary = vocabulary

    def entries(self, ids: Tensor) -> Tensor:
        """Each id's entry in the whole table; with several ``hashes``, its entries in one more dimension."""
        if self.vocabulary is not None:
            return self.vocabulary(ids)
        if self.hashes > 1:
            return torch.stack([self._bucket_entries(ids, number) for number in range(self.hashes)], dim=-1)
        if self.hash_ids:
            return self._bucket_entries(ids, 0)
        inside = (ids >= 0) & (ids < self.num_embeddings)
        return torch.where(inside, ids, torch.zeros_like(ids))

    def _bucket_entries(self, ids: Tensor, number: int) -> Tensor:
        buckets = hash_buckets(ids, self.num_embeddings - 1, number) + 1
        return torch.where(ids != MISSING_ID, buckets, torch.zeros_like(ids))

    def forward(self, ids: Tensor) -> Tensor:
        read: Tensor = self.table(self.entries(ids))
        return read.sum(dim=-2) if self.hashes > 1 else read


class SmallEmbeddings(nn.Module):
    """All small tables; their outputs in the order of the config.

    Tables of one width lie one behind the other in one, so that a batch takes one look-up for each width.

    Shape:
        discrete: (rows, columns) int64; returns for each table (rows, embedding_dim).
    """

    columns: Tensor
    sizes: Tensor
    starts: Tensor
    hashes: Tensor
    buckets: Tensor

    def __init__(self, config: SmallEmbeddingsConfig):
        super().__init__()
        tables = config.tables
        self.widths = [table.embedding_dim for table in tables]
        self.names = [table.name for table in tables]
        self.register_buffer("columns", torch.tensor([table.index for table in tables]), persistent=False)
        self._in_order = [table.index for table in tables] == list(range(len(tables)))
        self.register_buffer(
            "sizes", torch.tensor([table.num_embeddings for table in tables]), persistent=False
        )
        # Buckets, the unknown id's entry apart; a table of one entry hashes nothing, but nothing is divided by 0.
        self.register_buffer("buckets", torch.clamp(self.sizes - 1, min=1), persistent=False)
        self.hash_ids = [table.hash for table in tables]
        self.register_buffer("hashes", torch.tensor(self.hash_ids), persistent=False)
        self.vocabularies = nn.ModuleDict(
            {
                str(number): Vocabulary(table.num_embeddings - 1, table.min_count)
                for number, table in enumerate(tables)
                if table.min_count is not None
            }
        )
        self._bounds: list[tuple[int, int]] = []
        ends = dict.fromkeys(self.widths, 0)
        for table in tables:
            self._bounds.append((ends[table.embedding_dim], table.num_embeddings))
            ends[table.embedding_dim] += table.num_embeddings
        self.register_buffer("starts", torch.tensor([start for start, _ in self._bounds]), persistent=False)
        self.joined = nn.ModuleDict({str(width): nn.Embedding(end, width) for width, end in ends.items()})
        for number in range(len(tables)):
            nn.init.xavier_uniform_(self.weight_of(number))

    def weight_of(self, number: int) -> Tensor:
        """The entries of a table, by its place in the config: (num_embeddings, embedding_dim), a view."""
        start, size = self._bounds[number]
        joined = self.joined[str(self.widths[number])]
        assert isinstance(joined, nn.Embedding)
        return joined.weight.detach()[start : start + size]

    def forward(self, discrete: Tensor) -> list[Tensor]:
        # A slice costs nothing, an index a copy.
        ids = discrete[:, : len(self.widths)] if self._in_order else discrete[:, self.columns]
        entries = self._entries(ids) + self.starts
        found: dict[int, Tensor] = {}
        for width, table in self.joined.items():
            members = [number for number, own in enumerate(self.widths) if own == int(width)]
            outputs = table(entries if len(self.joined) == 1 else entries[:, members]).unbind(dim=1)
            found |= dict(zip(members, outputs, strict=True))
        return [found[number] for number in range(len(self.widths))]

    def _entries(self, ids: Tensor) -> Tensor:
        """Each id's entry in its own table; shapes (rows, tables)."""
        known = (ids >= 0) & (ids < self.sizes)
        entries = torch.where(known, ids, torch.zeros_like(ids))
        if any(self.hash_ids):
            entries = torch.where(
                self.hashes & (ids != MISSING_ID), hash_buckets(ids, self.buckets) + 1, entries
            )
        if not self.vocabularies:
            return entries
        columns = list(entries.unbind(dim=1))
        for number, vocabulary in self.vocabularies.items():
            columns[int(number)] = vocabulary(ids[:, int(number)])
        return torch.stack(columns, dim=1)

    def set_statistics(self, statistics: FeatureStatistics, columns: Sequence[str]) -> None:
        """Fill the vocabularies. ``columns`` names the discrete columns; one may also go by its index.

        Raises ValueError for a table with ``min_count`` whose column has no counts.
        """
        for number, vocabulary in self.vocabularies.items():
            assert isinstance(vocabulary, Vocabulary)
            index = int(self.columns[int(number)])
            keys = [*columns[index : index + 1], str(index)]
            key = next((key for key in keys if key in statistics.vocabularies), None)
            if key is None:
                raise ValueError(
                    f"statistics.vocabularies: no counts of column {keys[0]!r}, which the table "
                    f"{self.names[int(number)]!r} with min_count needs; run prepare again with this config"
                )
            vocabulary.fill(statistics.vocabularies[key])
