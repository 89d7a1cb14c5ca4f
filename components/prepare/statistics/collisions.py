"""Count hash collisions among the training rows' ids in bounded memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.prepare.rows import Rows, column_ids
from recap_model.config import RecapConfig
from recap_model.config.model.table_columns import TableColumn, shared_table_columns
from recap_model.data.dataset.statistics import Collisions
from recap_model.data.log.id_hashing import MISSING_ID, hash_buckets, seeded_hash

_SAMPLE_IDS = 1 << 16
_FOLLOWED_BUCKETS = 1 << 22
_SEED = 0
_NO_KEY = np.iinfo(np.uint32).max


@dataclass(frozen=True)
class _Source:
    """A hashed table's buckets, and the columns that read it."""

    buckets: int
    columns: tuple[TableColumn, ...]


class CollisionCounter:
    """Collision counts of one table: exact for few ids and buckets, estimated from samples otherwise.

    Every id has a pseudorandom key (a bijection). The 65,536 least keys (k minimum values) are a sample of the
    distinct ids; if u is the greatest of these k keys as a fraction of the key range, the cardinality is about
    (k - 1) / u, with a standard error of 1 / sqrt(k - 2) = 0.4 % (Beyer et al., "On synopses for distinct-value
    estimation under multiset operations", SIGMOD 2007, section 4). For each bucket the least and the greatest key are
    kept, which differ if it has several ids (in 32 bits: a pair of ids is mistaken for one id with probability 1 in 4
    billion), and its impressions. Above 4,194,304 buckets, that many are sampled; if few ids have most of the
    impressions, the fraction of impressions is a rough estimate then. So a counter takes 16 bytes a bucket, 68 MB at
    most, and does not depend on the order of rows.
    """

    def __init__(self, buckets: int) -> None:
        self.buckets = buckets
        followed = min(buckets, _FOLLOWED_BUCKETS)
        self._keys = np.empty(0, dtype=np.uint64)
        self._sampled_buckets = np.empty(0, dtype=np.int64)
        self._least = np.full(followed, _NO_KEY, dtype=np.uint32)
        self._greatest = np.zeros(followed, dtype=np.uint32)
        self._impressions = np.zeros(followed, dtype=np.int64)
        self._total = np.zeros(1, dtype=np.int64)

    def add(
        self, ids: NDArray[np.int64] | NDArray[np.uint64], buckets: NDArray[np.int64] | None = None
    ) -> None:
        """Count ids, none missing, by the buckets of the table's hash, or by the given ``buckets``."""
        distinct, firsts, counts = np.unique(ids, return_index=True, return_counts=True)
        where = hash_buckets(distinct.astype(np.int64), self.buckets) if buckets is None else buckets[firsts]
        keys = seeded_hash(distinct.astype(np.int64), _SEED)
        self._total += len(ids)
        self._keep(keys, where)
        followed = where < len(self._least)
        where = where[followed]
        marks = (keys[followed] >> np.uint64(32)).astype(np.uint32)
        np.minimum.at(self._least, where, marks)
        np.maximum.at(self._greatest, where, marks)
        np.add.at(self._impressions, where, counts[followed])

    def merge(self, other: "CollisionCounter") -> None:
        """Add the counts of another counter of the same table."""
        self._keep(other._keys, other._sampled_buckets)
        np.minimum(self._least, other._least, out=self._least)
        np.maximum(self._greatest, other._greatest, out=self._greatest)
        self._impressions += other._impressions
        self._total += other._total

    def _keep(self, keys: NDArray[np.uint64], buckets: NDArray[np.int64]) -> None:
        if len(self._keys) == _SAMPLE_IDS:
            small = keys < self._keys[-1]
            keys, buckets = keys[small], buckets[small]
        every, firsts = np.unique(np.concatenate([self._keys, keys]), return_index=True)
        self._keys = every[:_SAMPLE_IDS]
        self._sampled_buckets = np.concatenate([self._sampled_buckets, buckets])[firsts[:_SAMPLE_IDS]]

    def result(self) -> Collisions:
        """The counts or estimates."""
        full = len(self._keys) == _SAMPLE_IDS
        ids = round((_SAMPLE_IDS - 1) / (float(self._keys[-1]) / 2.0**64)) if full else len(self._keys)
        shared = self._least < self._greatest
        buckets = self._sampled_buckets[self._sampled_buckets < len(shared)]
        return Collisions(
            buckets=self.buckets,
            ids=ids,
            collision_rate=_ratio(int(shared[buckets].sum()), len(buckets)),
            expected=expected_collision_rate(ids, self.buckets),
            impressions=int(self._total[0]),
            impression_collision_rate=_ratio(
                int(self._impressions[shared].sum()), int(self._impressions.sum())
            ),
            exact=not full and self.buckets <= _FOLLOWED_BUCKETS,
        )


class HashedTables:
    """A counter for each table that hashes ids and for each derived cross, by its config path."""

    def __init__(self, config: RecapConfig) -> None:
        self._sources = _sources(config)
        crosses = {name: column.buckets for name, column in config.features.derived.items() if column.buckets}
        sizes = {path: source.buckets for path, source in self._sources.items()}
        sizes |= {_cross(name): buckets for name, buckets in crosses.items()}
        self.counters = {path: CollisionCounter(buckets) for path, buckets in sizes.items()}

    def add(self, rows: Rows) -> None:
        """Count the ids that tables read of these rows."""
        for path, source in self._sources.items():
            for column in source.columns:
                ids = column_ids(rows, column)
                self.counters[path].add(ids[ids != MISSING_ID])

    def add_crosses(self, crosses: Mapping[str, NDArray[np.uint64]]) -> None:
        """Count the hashes of crosses, from `read_crosses`."""
        for name, ids in crosses.items():
            counter = self.counters[_cross(name)]
            counter.add(ids, (ids % np.uint64(counter.buckets)).astype(np.int64))

    def merge(self, other: "HashedTables") -> None:
        """Add the counts of other rows."""
        for path, counter in self.counters.items():
            counter.merge(other.counters[path])

    def result(self) -> dict[str, Collisions]:
        """The collisions of each table and cross."""
        return {path: counter.result() for path, counter in self.counters.items()}


def expected_collision_rate(ids: int, buckets: int) -> float:
    """The collision rate of a uniform hash: ``1 - (1 - 1/buckets)^(ids - 1)``.

    >>> round(expected_collision_rate(1000, 1000), 3)
    0.632
    """
    if ids < 2:
        return 0.0
    return 1.0 if buckets == 1 else float(-np.expm1((ids - 1) * np.log1p(-1.0 / buckets)))


def _ratio(count: int, total: int) -> float:
    return count / total if total else 0.0


def _cross(name: str) -> str:
    return f"features.derived.{name}"


def _sources(config: RecapConfig) -> dict[str, _Source]:
    """The tables that hash ids; one that gives an id several entries is counted by the first."""
    small, large = config.model.small_embeddings, config.model.large_embeddings
    sources = {
        f"model.small_embeddings.{table.name}": _Source(
            table.num_embeddings - 1, (TableColumn("discrete", index=table.index),)
        )
        for table in (small.tables if small else [])
        if table.hash
    }
    sources |= {
        f"model.large_embeddings.{table.name}": _Source(
            table.num_embeddings - 1, (TableColumn("sparse", name=table.name),)
        )
        for table in (large.tables if large else [])
        if table.hash
    }
    return sources | {
        f"model.tables.{name}": _Source(config.model.tables[name].num_embeddings - 1, tuple(columns))
        for name, columns in shared_table_columns(config).items()
        if config.model.tables[name].hash
    }
