"""Vocabularies of ids that are looked up by frequency: exact counts, exchanged by id."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.prepare.rows import Rows, column_ids
from recap_model.config import RecapConfig
from recap_model.config.model.table_columns import TableColumn, shared_table_columns
from recap_model.data.log.id_hashing import MISSING_ID

_MAX_COUNTS = 1 << 20

Counts = NDArray[np.int64]


class Vocabulary(NamedTuple):
    """The ids of a column or a shared table that are looked up by frequency.

    Attributes:
        name: in the statistics: of a discrete column of small tables its name or number, of a shared table the path
            of its config.
        columns: whose ids are counted.
        entries: of the largest table that reads them, with the one of unknown ids.
        min_count: ids that are rarer have no entry.
    """

    name: str
    columns: tuple[TableColumn, ...]
    entries: int
    min_count: int


def vocabularies_of(config: RecapConfig) -> list[Vocabulary]:
    """All that some table looks up by frequency."""
    tables = config.model.small_embeddings.tables if config.model.small_embeddings else []
    names = config.features.group_columns("discrete")
    known: dict[str, Vocabulary] = {}
    for table in tables:
        if table.min_count is None:
            continue
        scalar = isinstance(config.features.discrete, list)
        name = names[table.index] if scalar else str(table.index)
        columns = (TableColumn("discrete", index=table.index),)
        before = known.get(name, Vocabulary(name, columns, 0, table.min_count))
        known[name] = Vocabulary(
            name,
            columns,
            max(before.entries, table.num_embeddings),
            min(before.min_count, table.min_count),
        )
    for name, read in shared_table_columns(config).items():
        shared = config.model.tables[name]
        if shared.min_count is not None:
            path = f"model.tables.{name}"
            known[path] = Vocabulary(path, tuple(read), shared.num_embeddings, shared.min_count)
    return list(known.values())


class IdCounts:
    """Counts of the ids of several vocabularies: rows of vocabulary, id and count."""

    def __init__(self, vocabularies: Sequence[Vocabulary]) -> None:
        self._vocabularies = vocabularies
        self._columns: list[Counts] = []
        self._rows = 0
        self._limit = _MAX_COUNTS

    def add(self, rows: Rows) -> None:
        """Count the ids of rows."""
        for number, vocabulary in enumerate(self._vocabularies):
            for column in vocabulary.columns:
                ids, counts = np.unique(column_ids(rows, column), return_counts=True)
                present = ids != MISSING_ID
                self._append(number, ids[present], counts[present])

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Add counts of `to_record_batch`."""
        self._columns.append(np.stack([batch[name].to_numpy() for name in ("vocabulary", "id", "count")]))
        self._rows += batch.num_rows
        self._compact_if_many()

    @property
    def are_many(self) -> bool:
        """Whether enough counts are held to hand them on."""
        return self._rows >= _MAX_COUNTS

    def to_record_batch(self) -> pa.RecordBatch:
        """The counts so far, each id of a vocabulary once; they are then forgotten."""
        numbers, ids, counts = self._compact()
        self._columns, self._rows = [], 0
        return pa.record_batch({"vocabulary": numbers, "id": ids, "count": counts})

    def most_frequent(self) -> list[tuple[Counts, Counts]]:
        """Of each vocabulary the ids and counts of those that may have an entry, in no order."""
        numbers, ids, counts = self._compact()
        chosen = []
        for number, vocabulary in enumerate(self._vocabularies):
            rows = (numbers == number) & (counts >= vocabulary.min_count)
            first = np.lexsort((ids[rows], -counts[rows]))[: vocabulary.entries - 1]
            chosen.append((ids[rows][first], counts[rows][first]))
        return chosen

    def _append(self, number: int, ids: Counts, counts: Counts) -> None:
        self._columns.append(np.stack([np.full(len(ids), number), ids, counts]))
        self._rows += len(ids)
        self._compact_if_many()

    def _compact_if_many(self) -> None:
        if self._rows >= self._limit:
            self._columns = [self._compact()]
            self._rows = self._columns[0].shape[1]
            self._limit = max(_MAX_COUNTS, 2 * self._rows)

    def _compact(self) -> Counts:
        """(3, ids): vocabulary, id and count, each id of a vocabulary once."""
        if not self._columns:
            return np.empty((3, 0), dtype=np.int64)
        every = np.concatenate(self._columns, axis=1)
        every = every[:, np.lexsort((every[1], every[0]))]
        if not every.shape[1]:
            return every
        new = np.concatenate([[True], (every[:2, 1:] != every[:2, :-1]).any(axis=0)])
        starts = np.flatnonzero(new)
        return np.stack([every[0, starts], every[1, starts], np.add.reduceat(every[2], starts)])


class VocabularySink:
    """A sink of counts of some ids; returns the most frequent ones of each vocabulary."""

    def __init__(self, vocabularies: Sequence[Vocabulary]) -> None:
        self._counts = IdCounts(vocabularies)

    def write(self, rows: pa.RecordBatch) -> None:
        self._counts.add_batch(rows)

    def close(self) -> list[tuple[Counts, Counts]]:
        return self._counts.most_frequent()


def merge_vocabularies(
    vocabularies: Sequence[Vocabulary], shards: Sequence[list[tuple[Counts, Counts]]]
) -> Mapping[str, dict[int, int]]:
    """Each vocabulary's ids by falling frequency, the lesser id first of equal ones, with their counts."""
    merged = {}
    for number, vocabulary in enumerate(vocabularies):
        pairs = [shard[number] for shard in shards]
        ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in pairs)])
        counts = np.concatenate([np.empty(0, np.int64), *(counts for _, counts in pairs)])
        order = np.lexsort((ids, -counts))[: vocabulary.entries - 1]
        merged[vocabulary.name] = dict(zip(ids[order].tolist(), counts[order].tolist(), strict=True))
    return merged
