"""A mergeable profile of a log: counts, moments and a histogram of each column in each partition."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.validate.profile.sketches.exact_sum import from_text, to_text
from components.validate.profile.sketches.histogram import Histograms
from components.validate.profile.statistics import COUNTS, Stats
from recap_model.config.reading.errors import in_one_line

FORMAT = "recap-profile/2"
_FORMAT_KEY, _ROWS_KEY, _VALUES_KEY = b"recap.format", b"recap.partition_rows", b"recap.values"
_LONGEST_REASON = 300
_SCHEMA = pa.schema(
    [
        ("partition", pa.string()),
        ("block", pa.string()),
        ("column", pa.string()),
        *[(name, pa.int64()) for name in COUNTS],
        ("minimum", pa.float64()),
        ("maximum", pa.float64()),
        ("total", pa.string()),
        ("squares", pa.string()),
        ("bins", pa.list_(pa.int16())),
        ("counts", pa.list_(pa.int64())),
    ]
)


class ValueSummary(NamedTuple):
    """The values of a column of ids or words: how many there are, and the most frequent ones with their rows."""

    distinct: int
    is_exact: bool
    top: list[tuple[str, int]]


@dataclass
class BlockProfile:
    """One block of columns: a name for each position, their stats, and histograms where values are compared."""

    labels: list[str]
    stats: Stats
    histograms: Histograms = field(default_factory=Histograms.empty)

    def __add__(self, other: "BlockProfile") -> "BlockProfile":
        if self.labels != other.labels:
            raise ValueError("two profiles of different columns do not add up")
        return BlockProfile(self.labels, self.stats + other.stats, self.histograms + other.histograms)


@dataclass
class PartitionProfile:
    """One partition, or all: its rows and its blocks, by key."""

    rows: int = 0
    blocks: dict[str, BlockProfile] = field(default_factory=dict)

    def add(self, key: str, labels: list[str], stats: Stats, histograms: Histograms | None = None) -> None:
        """Add the stats and histograms of some more rows of a block."""
        more = BlockProfile(labels, stats, histograms or Histograms.empty())
        self.blocks[key] = self.blocks[key] + more if key in self.blocks else more

    def __add__(self, other: "PartitionProfile") -> "PartitionProfile":
        merged = PartitionProfile(self.rows + other.rows, dict(self.blocks))
        for key, block in other.blocks.items():
            merged.add(key, block.labels, block.stats, block.histograms)
        return merged


@dataclass
class Profile:
    """The profile of a log or of some of its rows. Profiles of disjoint rows add up, exactly and in any order.

    ``values`` is of the whole log, by block and label; a sum of profiles has none, nor has one of an earlier release.
    """

    partitions: dict[str, PartitionProfile] = field(default_factory=dict)
    values: dict[str, dict[str, ValueSummary]] = field(default_factory=dict)

    def __add__(self, other: "Profile") -> "Profile":
        empty = PartitionProfile()
        names = sorted({*self.partitions, *other.partitions})
        return Profile(
            {name: self.partitions.get(name, empty) + other.partitions.get(name, empty) for name in names}
        )

    def window(self) -> PartitionProfile:
        """All partitions as one."""
        return sum(self.partitions.values(), PartitionProfile())

    def table(self) -> pa.Table:
        """A row for each position of each block in each partition, sorted."""
        columns: dict[str, list[object]] = {name: [] for name in _SCHEMA.names}
        for partition, profile in sorted(self.partitions.items()):
            for key, block in sorted(profile.blocks.items()):
                width = len(block.labels)
                columns["partition"] += [partition] * width
                columns["block"] += [key] * width
                columns["column"] += block.labels
                for item in fields(Stats):
                    columns[item.name] += _to_list(getattr(block.stats, item.name))
                selected = [block.histograms.select(position) for position in range(width)]
                columns["bins"] += [bins for bins, _ in selected]
                columns["counts"] += [counts for _, counts in selected]
        rows = ";".join(f"{name}={profile.rows}" for name, profile in sorted(self.partitions.items()))
        values = json.dumps(self.values, sort_keys=True, separators=(",", ":"))
        metadata = {_FORMAT_KEY: FORMAT.encode(), _ROWS_KEY: rows.encode(), _VALUES_KEY: values.encode()}
        return pa.table(columns, schema=_SCHEMA.with_metadata(metadata))

    def write(self, path: Path) -> None:
        """Write `table` as Parquet: the same bytes for the same log, however its files were grouped."""
        pq.write_table(self.table(), path)

    @classmethod
    def read(cls, path: Path) -> "Profile":
        """Read what `write` wrote. Raises ValueError if it is something else."""
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            reason = in_one_line(error)[:_LONGEST_REASON]
            raise ValueError(f"{path}: not Parquet ({reason}); run validate again") from None
        metadata = table.schema.metadata or {}
        stored_format = metadata.get(_FORMAT_KEY, b"").decode(errors="replace")
        if not stored_format:
            raise ValueError(f"{path}: no profile of a log ({FORMAT}); run validate again")
        if stored_format != FORMAT:
            raise ValueError(f"{path}: it is {stored_format}, and this validate reads {FORMAT}")
        try:
            profile = cls._parse(table) if table.schema.equals(_SCHEMA) else None
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
            profile = None
        if profile is None:
            raise ValueError(f"{path}: not what validate writes; run validate again")
        return profile

    @classmethod
    def _parse(cls, table: pa.Table) -> "Profile":
        """Parse a table that may have been altered since `table` made it."""
        profile = cls()
        for entry in filter(None, table.schema.metadata[_ROWS_KEY].decode().split(";")):
            name, _, rows = entry.rpartition("=")
            profile.partitions[name] = PartitionProfile(int(rows))
        profile.values = {
            key: {label: _read_summary(*content) for label, content in columns.items()}
            for key, columns in json.loads(table.schema.metadata.get(_VALUES_KEY, b"{}")).items()
        }
        keys = list(zip(table["partition"].to_pylist(), table["block"].to_pylist(), strict=True))
        starts = [index for index, key in enumerate(keys) if index == 0 or keys[index - 1] != key]
        for start, end in zip(starts, [*starts, len(keys)][1:], strict=True):
            partition, key = keys[start]
            block = table.slice(start, end - start)
            profile.partitions[partition].add(
                key, block["column"].to_pylist(), _read_stats(block), _read_histograms(block)
            )
        return profile


def _to_list(values: object) -> list[object]:
    if isinstance(values, np.ndarray):
        return values.tolist()
    assert isinstance(values, list)
    return [None if value is None else to_text(value) for value in values]


def _read_summary(distinct: object, is_exact: object, top: list[list[object]]) -> ValueSummary:
    return ValueSummary(
        int(str(distinct)), bool(is_exact), [(str(value), int(str(rows))) for value, rows in top]
    )


def _read_stats(block: pa.Table) -> Stats:
    arrays: dict[str, Any] = {name: block[name].to_numpy() for name in (*COUNTS, "minimum", "maximum")}
    for name in ("total", "squares"):
        arrays[name] = [None if text is None else from_text(text) for text in block[name].to_pylist()]
    return Stats(**arrays)


def _read_histograms(block: pa.Table) -> Histograms:
    bins, counts = (block[name].combine_chunks() for name in ("bins", "counts"))
    return Histograms.join(
        [
            (row_bins.values.to_numpy().astype(np.int64), row_counts.values.to_numpy())
            for row_bins, row_counts in zip(bins, counts, strict=True)
        ]
    )
