"""The profile of each role's columns: statistics, histograms, and faults that prepare would refuse.

A role is one case of `BlockProfiler.profile`; `read_values` reads its values as numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.validate.profile.columns import Block
from components.validate.profile.file_faults import FileRule
from components.validate.profile.sequences import find_unaligned_rows, measure_event_times, read_lengths
from components.validate.profile.sketches.distinct_values import Hashes, hash_values
from components.validate.profile.sketches.histogram import (
    Histograms,
    count_id_buckets,
    count_ids,
    count_numbers,
)
from components.validate.profile.statistics import Flags, Floats, Stats, measure
from components.validate.profile.timestamps import Span, measure_derived_times, measure_times
from components.validate.profile.values import Values, WrongWidthError, count_nulls, read_values
from recap_model.config import RecapConfig
from recap_model.data.log.column_roles import form_of
from recap_model.data.log.columns import is_list, plain_type
from recap_model.data.log.id_hashing import sketch_hashes
from recap_model.data.log.values import ID_VALUES, invalid_ids, invalid_values


class BlockStats(NamedTuple):
    """What a profile keeps of some rows of a block, under the block's key.

    ``hashes`` are those of each position's ids, (values,), or of the entries of its lists.
    """

    key: str
    labels: list[str]
    stats: Stats
    histograms: Histograms | None = None
    hashes: list[Hashes] | None = None


class RowFaultReporter(Protocol):
    """Records rows with values that prepare would refuse."""

    def __call__(
        self, rule: FileRule, subject: str, observed: str, allowed: str, advice: str, rows: int
    ) -> None: ...


@dataclass(frozen=True)
class BlockProfiler:
    """Profiles the blocks of one file's batches.

    Attributes:
        schema: the file's, as it is stored.
        span: the time that the file's partition covers.
        report: records values that prepare would refuse.
    """

    config: RecapConfig
    schema: pa.Schema
    span: Span
    report: RowFaultReporter

    def profile(self, batch: pa.RecordBatch, block: Block) -> Iterator[BlockStats]:
        """Profile the rows of a batch; a block with lists of a wrong width is reported instead."""
        if block.role == "id":
            hashes = [sketch_hashes(batch.column(name).drop_null()) for name in block.columns]
            buckets = count_id_buckets(hashes)
            yield BlockStats(block.key, block.labels, count_nulls(batch, block), buckets, hashes)
            return
        if block.role == "split":
            yield BlockStats(block.key, block.labels, count_nulls(batch, block))
            return
        try:
            values = read_values(batch, block)
        except WrongWidthError as error:
            self._report_width(block, error)
            return
        match block.role:
            case "timestamp":
                stamps = self.config.features.timestamps
                for key, labels, stats in measure_times(values, block, stamps, self.span):
                    yield BlockStats(key, labels, stats)
            case "moment":
                yield BlockStats(block.key, block.labels, measure_derived_times(values))
            case "discrete":
                self._check_discrete(block, values)
                unknown = values.array == -1.0
                histograms = count_ids(values.array, unknown)
                hashes = hash_values(values.array, unknown)
                yield _measure_block(block, values, unknown, None, histograms)._replace(hashes=hashes)
            case "sequence":
                self._check_lengths(batch, block)
                unknown = values.array == 0.0
                yield _measure_block(block, values, unknown, None, count_numbers(values.array, unknown))
                impressed = self.config.features.timestamps.impressed
                if impressed in batch.schema.names:
                    for key, labels, stats in measure_event_times(batch, block, str(impressed)):
                        yield BlockStats(key, labels, stats)
            case "sequence_time":
                return
            case "sequence_id" | "sequence_actions" | "sequence_number":
                # Of rows with an event; the sequence itself counts empty histories.
                there = read_lengths(batch, block.columns[0]) > 0
                if there.any():
                    yield _measure_newest(block, values.array[there])
            case "embedding" | "sparse":
                # Of an embedding the norm, of a sparse list the length: 0 stands for no value.
                unknown = values.array == 0.0
                measured = _measure_block(block, values, unknown, None, count_numbers(values.array, unknown))
                hashes = [_hash_entries(batch.column(block.columns[0]))] if block.role == "sparse" else []
                yield measured._replace(hashes=hashes or None)
            case "label":
                outside = invalid_values("label", values.array)
                self._check_labels(block, values.array, outside)
                # The counts of 0 and 1 are its histogram.
                yield _measure_block(block, values, None, outside, None)
            case "derived_label":
                yield _measure_block(block, values, None, None, None)
            case "value":
                outside = invalid_values("value", values.array)
                yield _measure_block(block, values, None, outside, count_numbers(values.array))
            case "binary" | "weight":
                outside = invalid_values("label" if block.role == "binary" else "weight", values.array)
                yield _measure_block(block, values, None, outside, count_numbers(values.array))
            case _:
                yield _measure_block(block, values, None, None, count_numbers(values.array))

    def _report_width(self, block: Block, error: WrongWidthError) -> None:
        self.report(
            "list_width",
            f"column {block.columns[0]}",
            f"has a list of {error.width}",
            f"{block.section} says {block.list_width}",
            "change one of them",
            error.rows,
        )

    def _check_lengths(self, batch: pa.RecordBatch, block: Block) -> None:
        if unaligned := find_unaligned_rows(batch, block):
            first = block.columns[0]
            other = next(name for name, length in unaligned.first.items() if length != unaligned.first[first])
            self.report(
                "sequence_lengths",
                f"sequence {block.name}",
                f"has a list of {unaligned.first[other]} in {other}, and one of {unaligned.first[first]} in {first},",
                "lists of a row have an entry for each event",
                "write null where an event has no value",
                unaligned.rows,
            )

    def _check_labels(self, block: Block, array: Floats, outside: Flags) -> None:
        if not outside.any():
            return
        tasks = self.config.label_columns()
        for position, column in enumerate(block.columns):
            wrong = array[:, position][outside[:, position]]
            uses = [
                (f"task {task}", f"map another column in tasks.{task}.label")
                for task, label in tasks.items()
                if label == column
            ] or [(f"column {column}", f"compare it in its rule, as {{column: {column}, at_least: 1}}")]
            for subject, advice in uses if len(wrong) else []:
                self.report(
                    "label_values",
                    subject,
                    f"has value {float(wrong[0])}",
                    "a label is 0, 1 or null",
                    f"fix the log, or {advice}",
                    len(wrong),
                )

    def _check_discrete(self, block: Block, values: Values) -> None:
        """Ids stored as floats must be integers, as in `read_ids`."""
        array, floats = values.array, self._are_floats(block)
        if not floats.any():
            return
        wrong = invalid_ids(array) & floats
        nans = np.count_nonzero(np.isnan(array), axis=0) - values.nulls
        for position in np.flatnonzero(wrong.any(axis=0) | (nans > 0)):
            first = array[wrong[:, position], position][:1]
            self.report(
                "discrete_values",
                f"column {block.labels[position]}",
                f"has value {float(first[0]) if len(first) else float('nan')}",
                ID_VALUES,
                f"fix the log, or move the column out of {block.section}",
                int(np.count_nonzero(wrong[:, position]) + nans[position]),
            )

    def _are_floats(self, block: Block) -> Flags:
        """Which positions of a block are stored as floats: (width,), or (1,) of lists."""
        kinds = [plain_type(self.schema.field(name).type) for name in block.columns]
        return np.array([form_of(kind.value_type if is_list(kind) else kind) == "float" for kind in kinds])


def _measure_newest(block: Block, array: Floats) -> BlockStats:
    unknown = array == -1.0 if block.are_ids else None
    histograms = count_ids(array, unknown) if block.are_ids else count_numbers(array)
    nulls = np.count_nonzero(np.isnan(array), axis=0)
    hashes = hash_values(array, unknown) if block.are_ids else None
    return BlockStats(block.key, block.labels, measure(array, nulls, unknown), histograms, hashes)


def _hash_entries(column: pa.Array) -> Hashes:
    """Hashes of the ids in a column's lists."""
    if pa.types.is_null(column.type):
        return np.zeros(0, dtype=np.uint64)
    return sketch_hashes(pc.list_flatten(column).drop_null())


def _measure_block(
    block: Block, values: Values, unknown: Flags | None, outside: Flags | None, histograms: Histograms | None
) -> BlockStats:
    stats = measure(values.array, values.nulls, unknown, outside)
    return BlockStats(block.key, block.labels, stats, histograms)
