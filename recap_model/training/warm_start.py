"""Warm start: copy another model's weights where names and shapes match."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recap_model.model.ranking_model import MultiTaskRankingModel
from recap_model.nn.inputs.small_embeddings import IdEmbedding, SmallEmbeddings, Vocabulary

_RUNNING = ("running_mean", "running_var", "num_batches_tracked")
_TABLES = (SmallEmbeddings, IdEmbedding)


@dataclass(frozen=True)
class _Table:
    """The entries of an embedding table, and how an id's entry is found: by a number of ``hashes``, or none."""

    entries: Tensor
    vocabulary: Vocabulary | None
    hashes: int
    size: int
    first: int = 0

    def takes(self, old: "_Table") -> bool:
        """Whether the entries of ``old`` can be told by their ids to be this table's."""
        if self.hashes != old.hashes or self.entries.shape[1] != old.entries.shape[1]:
            return False
        return not self.hashes or self.size == old.size


@torch.no_grad()
def warm_start(model: MultiTaskRankingModel, old: MultiTaskRankingModel) -> list[str]:
    """Copy the weights and batch norm statistics of ``old`` with the same name and shape into ``model``.

    Entries of embedding tables go by their ids, so that a vocabulary may have grown or changed. What follows from
    the training rows or the config (statistics, vocabularies, sampling rates) stays as it is.

    Returns:
        The names of what found no counterpart, and stays as it started.

    Raises:
        ValueError: nothing fits.
    """
    theirs, found = _learned(old), 0
    new: list[str] = []
    for name, tensor in _learned(model).items():
        given = theirs.get(name)
        if given is None or given.shape != tensor.shape:
            new.append(name)
            continue
        tensor.copy_(given)
        found += 1
    old_tables = _tables(old)
    for name, table in _tables(model).items():
        match = old_tables.get(name)
        if match is None or not table.takes(match):
            new.append(name)
            continue
        _copy_entries(table, match)
        found += 1
    if not found:
        raise ValueError("training.warm_start: no weight of that model has a name and shape of this one's")
    return new


def _learned(model: nn.Module) -> dict[str, Tensor]:
    """Parameters, and what batch norms have seen, but for tables of embeddings and fitted calibrators."""
    apart = tuple(f"{name}." for name, part in model.named_modules() if isinstance(part, _TABLES))
    return {
        name: tensor
        for name, tensor in [*model.named_parameters(), *_running(model)]
        if not name.startswith((*apart, "calibrators."))
    }


def _running(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, buffer) for name, buffer in model.named_buffers() if name.rpartition(".")[2] in _RUNNING)


def _tables(model: nn.Module) -> dict[str, _Table]:
    tables: dict[str, _Table] = {}
    for path, part in model.named_modules():
        if isinstance(part, IdEmbedding):
            tables[path] = _Table(
                part.table.weight,
                part.vocabulary,
                part.hashes if part.hash_ids else 0,
                part.num_embeddings,
                part.first,
            )
        elif isinstance(part, SmallEmbeddings):
            for number, name in enumerate(part.names):
                vocabulary = dict(part.vocabularies.items()).get(str(number))
                assert vocabulary is None or isinstance(vocabulary, Vocabulary)
                entries = part.weight_of(number)
                tables[f"{path}.{name}"] = _Table(
                    entries, vocabulary, int(part.hash_ids[number]), len(entries)
                )
    return tables


def _copy_entries(new: _Table, old: _Table) -> None:
    """Copy what both have, as far as ``new`` holds it here; ``old`` is whole."""
    first, last = new.first, new.first + len(new.entries)
    if new.vocabulary is None or old.vocabulary is None:
        if new.vocabulary is old.vocabulary:
            end = min(last, old.size)
            new.entries[: max(end - first, 0)] = old.entries[first : max(end, first)]
        return
    matches = old.vocabulary(new.vocabulary.ids)
    known = torch.nonzero(matches).squeeze(1)
    known = known[(known + 1 >= first) & (known + 1 < last)]
    new.entries[known + 1 - first] = old.entries[matches[known]]
    if first == 0 < last:
        new.entries[0] = old.entries[0]
