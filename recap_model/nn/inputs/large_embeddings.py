"""Large embedding tables, each pooled over a list of ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from recap_model.config.model.inputs import LargeEmbeddingsConfig, LargeEmbeddingTableConfig
from recap_model.data.log.id_hashing import feature_ids
from recap_model.distributed.sharded_tables import NO_ENTRY, current_sharding_plan, look_up_sharded
from recap_model.nn.inputs.small_embeddings import EMPTY_SLOT, MISSING_ID, IdEmbedding, Vocabulary


class LargeEmbeddings(nn.Module):
    """All large tables, sum-pooled over each row's ids, in the order of the config.

    Built inside `shard_tables` it holds this process's shards, and its forward pass is a collective operation.

    Shape:
        sparse: for each table, by its name, (rows, longest list) int64, -1 behind a shorter list's end;
        returns for each table (rows, embedding_dim), zeros for a row without ids.
    """

    def __init__(self, config: LargeEmbeddingsConfig):
        super().__init__()
        self.widths = [table.embedding_dim for table in config.tables]
        self.names = [table.name for table in config.tables]
        self.plan = current_sharding_plan()
        shapes = [(table.num_embeddings, table.embedding_dim) for table in config.tables]
        self.bounds = self.plan.bounds(shapes) if self.plan is not None else []
        if self.plan is not None:
            # Not a decorator: it would load the compiler with every import.
            self._look_up = torch.compiler.disable(look_up_sharded)
        self.tables = nn.ModuleList(
            IdEmbedding(
                table.num_embeddings,
                table.embedding_dim,
                Vocabulary(table.num_embeddings - 1) if table.vocab is not None else None,
                table.hash,
                self.bounds[number][self.plan.rank] if self.plan is not None else None,
            )
            for number, table in enumerate(config.tables)
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
        return self._look_up(entries, parts, self.bounds, rank)

    def unshard(self, weights: Sequence[Tensor]) -> None:
        """Replace the shards by full tables with these weights."""
        self.plan, self.bounds = None, []
        for table, weight in zip(self.tables, weights, strict=True):
            assert isinstance(table, IdEmbedding)
            table.first = 0
            table.table = nn.Embedding.from_pretrained(weight, freeze=False)

    def read_files(self, config: LargeEmbeddingsConfig) -> None:
        """Take vocabularies and values at the start from the files that the config names.

        Raises:
            FileNotFoundError: a file is not there.
            ValueError: a file does not fit its table.
        """
        for table, settings in zip(self.tables, config.tables, strict=True):
            assert isinstance(table, IdEmbedding)
            ids: list[int] | None = None
            if settings.vocab is not None and table.vocabulary is not None:
                ids = _read_vocabulary(Path(settings.vocab), table.vocabulary.size)
                table.vocabulary.set_ids(sorted(ids))
            if settings.pretrained is not None:
                values = _read_values(settings, settings.num_embeddings if ids is None else len(ids))
                with torch.no_grad():
                    _copy_values(
                        table, values, None if ids is None else sorted(range(len(ids)), key=ids.__getitem__)
                    )


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


def _copy_values(table: IdEmbedding, values: Tensor, by_id: list[int] | None) -> None:
    """Give the entries held here their values: those of entry 0 and on, or, in the order of ids, of 1 and on."""
    weight, first = table.table.weight, table.first
    if by_id is None:
        weight.copy_(values[first : first + len(weight)])
        return
    begin, end = max(first, 1), min(first + len(weight), len(by_id) + 1)
    if begin < end:
        weight[begin - first : end - first] = values[by_id[begin - 1 : end - 1]].to(weight)


def _read_vocabulary(path: Path, capacity: int) -> list[int]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of ids, which model.large_embeddings names as vocab")
    lines = path.read_text(errors="replace").splitlines()
    found = [_parse_id(line) for line in lines]
    if found and found[0] is None:  # of text, so that an integer is none of its ids
        words = feature_ids(pa.array(lines)).to_pylist()
        found = [
            word if line and id_ is None else None
            for word, line, id_ in zip(words, lines, found, strict=True)
        ]
    ids: dict[int, int] = {}
    for number, (line, id_) in enumerate(zip(lines, found, strict=True), start=1):
        if id_ is None:
            raise ValueError(
                f"{path}: line {number}: {line[:100]!r} is no id; a vocab has an integer of 64 bits on each line, or "
                "text on each line"
            )
        if id_ in ids:
            raise ValueError(f"{path}: line {number}: id {id_} is on line {ids[id_]} too")
        ids[id_] = number
    if len(ids) > capacity:
        raise ValueError(f"{path}: {len(ids)} ids; the table has room for {capacity}: raise num_embeddings")
    return list(ids)


def _parse_id(line: str) -> int | None:
    """A line as an id: the int64 of the same 64 bits; None if it is none."""
    try:
        number = int(line)
    except ValueError:
        return None
    number -= 2**64 if 2**63 <= number < 2**64 else 0
    return number if -EMPTY_SLOT <= number < EMPTY_SLOT else None


def _read_values(config: LargeEmbeddingTableConfig, rows: int) -> Tensor:
    path = Path(config.pretrained or "")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, which model.large_embeddings names as pretrained")
    try:
        values = torch.from_numpy(np.load(path, allow_pickle=False))
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(f"{path}: not a .npy file of numbers: {error}") from None
    if values.shape != (rows, config.embedding_dim):
        raise ValueError(f"{path}: expected shape {(rows, config.embedding_dim)}, got {tuple(values.shape)}")
    not_finite = ~values.to(torch.float32).isfinite().all(dim=1)
    if not_finite.any():
        row = int(not_finite.nonzero()[0])
        raise ValueError(f"{path}: row {row} has a value that is NaN or infinite; write finite numbers")
    return values
