"""The most frequent values of each column of ids or words, and how many distinct ones there are.

A histogram of ids counts all rows in bins: each small id has its own, a hashed one shares its bin with others. Which
values are in a bin is read from the sampled rows: a value has that fraction of the bin's rows that it has of the
bin's sampled rows. So a count is exact if the value is alone in its bin, as categories mostly are, or if all rows
are sampled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.validate.profile.columns import Block
from components.validate.profile.profile import BlockProfile, Profile, ValueSummary
from components.validate.profile.sketches.distinct_values import DistinctValues
from components.validate.profile.sketches.exact_sum import from_units
from components.validate.profile.sketches.histogram import EXACT_IDS, ID_BUCKETS, assign_id_bins
from components.validate.profile.statistics import Counts, Floats
from components.validate.profile.values import WrongWidthError, read_values
from recap_model.data.log.columns import decoded
from recap_model.data.log.id_hashing import MISSING_ID, feature_ids, normalized_ids, sketch_hashes

TOP_VALUES = 20
_LONGEST_VALUE = 60  # characters
_ROLES = ("id", "discrete", "sparse", "sequence_id")


@dataclass(frozen=True)
class _Sampled:
    """Values of one position in the sample: what tells them apart, (rows,), and the bins that they fall into.

    ``rows`` are the sampled rows, or entries of lists, that have a value.
    """

    values: NDArray[Any]
    bins: Counts
    rows: Counts


def summarize_values(
    profile: Profile,
    distinct: DistinctValues,
    sample: pa.Table | None,
    blocks: list[Block],
    request: str | None,
) -> dict[str, dict[str, ValueSummary]]:
    """Summarize each position of the blocks of ids and words, by block and label.

    Args:
        request: the column of request ids, of which no value is frequent.
    """
    batch = _combine(sample)
    summaries = {}
    for block in blocks:
        measured = _sum_block(profile, block.key) if block.role in _ROLES else None
        if measured is not None:
            tops = _find_top(block, measured, batch, request) if batch is not None else {}
            summaries[block.key] = {
                label: ValueSummary(*distinct.estimate((block.key, label)), tops.get(label, []))
                for label in block.labels
            }
    return summaries


def _combine(sample: pa.Table | None) -> pa.RecordBatch | None:
    return sample.combine_chunks().to_batches()[0] if sample is not None and len(sample) else None


def _sum_block(profile: Profile, key: str) -> BlockProfile | None:
    """A block of the window."""
    measured = [partition.blocks[key] for partition in profile.partitions.values() if key in partition.blocks]
    return sum(measured[1:], measured[0]) if measured else None


def _find_top(
    block: Block, measured: BlockProfile, batch: pa.RecordBatch, request: str | None
) -> dict[str, list[tuple[str, int]]]:
    """The most frequent values of each position that has a value in the sample."""
    if not set(block.columns) <= set(batch.schema.names):
        return {}
    if block.role == "sparse":
        return {block.labels[0]: _count_entries(batch.column(block.columns[0]), measured)}
    tops = {}
    for position, sampled in _sampled_positions(block, batch, request):
        bins, counts = measured.histograms.select(position)
        label = block.labels[position]
        tops[label] = _rank(_estimate_counts(sampled, bins, counts, block, position, batch))
        known = {value for value, _ in tops[label]}
        if block.are_ids and not block.any_id(position):
            unsampled = [
                (str(value), int(count))
                for value, count in zip(bins, counts, strict=True)
                if value < EXACT_IDS and str(value) not in known
            ]
            tops[label] = _rank([*tops[label], *unsampled])
    return tops


def _sampled_positions(
    block: Block, batch: pa.RecordBatch, request: str | None
) -> Iterator[tuple[int, _Sampled]]:
    if block.role == "id":
        for position, name in enumerate(block.columns):
            if name == request:
                continue  # whole requests are sampled, so the others in a bin are not seen
            rows = np.flatnonzero(batch.column(name).is_valid().to_numpy(zero_copy_only=False))
            hashes = sketch_hashes(batch.column(name))[rows]
            yield position, _Sampled(hashes, (hashes % np.uint64(ID_BUCKETS)).astype(np.int64), rows)
        return
    if block.list_width is None:
        for position, name in enumerate(block.columns):
            column = batch.column(name)
            if not pa.types.is_floating(column.type):
                column = feature_ids(column).fill_null(MISSING_ID)
            yield position, _sample_ids(column.to_numpy(zero_copy_only=False))
        return
    try:
        array: Floats = read_values(batch, block).array
    except WrongWidthError:
        return
    for position in range(array.shape[1]):
        yield position, _sample_ids(array[:, position])


def _sample_ids(ids: NDArray[Any]) -> _Sampled:
    rows = np.flatnonzero(np.isfinite(ids) & (ids != MISSING_ID))
    bins = assign_id_bins(np.ascontiguousarray(ids[rows], dtype=np.float64))
    return _Sampled(ids[rows], bins.astype(np.int64), rows)


def _estimate_counts(
    sampled: _Sampled, bins: Counts, counts: Counts, block: Block, position: int, batch: pa.RecordBatch
) -> list[tuple[str, int]]:
    """The most frequent of the sampled values with the rows of the log that have them."""
    if not len(sampled.rows) or not len(bins):
        return []
    _, first, times = np.unique(sampled.values, return_index=True, return_counts=True)
    in_bin = np.bincount(sampled.bins)
    of_value = sampled.bins[first]
    # Ids that are text in one file and integers in another are sampled as text, and so have other bins.
    positions = np.minimum(np.searchsorted(bins, of_value), len(bins) - 1)
    total = np.where(bins[positions] == of_value, counts[positions], 0)
    rows = np.rint(total * times / in_bin[of_value]).astype(np.int64)
    order = np.lexsort((first, -rows))[:TOP_VALUES]
    column = batch.column(block.columns[position if block.list_width is None else 0])
    return [
        (_read_value(column, int(sampled.rows[first[one]]), block, position), int(rows[one])) for one in order
    ]


def _read_value(column: pa.Array, row: int, block: Block, position: int) -> str:
    """A value as the log has it."""
    if block.list_width is not None:
        entry = column.slice(row, 1)
        values = pc.list_flatten(decoded(entry))
        if block.role == "sequence_id":
            position = len(values) - 1 if block.members[0].newest_last else 0
        column, row = values, position
    return _name_value(column.slice(row, 1))


def _name_value(value: pa.Array) -> str:
    if pa.types.is_floating(value.type):
        number = value[0].as_py()
        return str(int(number) if number.is_integer() else number)
    return str(normalized_ids(value)[0].as_py())[:_LONGEST_VALUE]


def _count_entries(column: pa.Array, measured: BlockProfile) -> list[tuple[str, int]]:
    """The most frequent entries of a column's lists: their fraction of the sampled ones, times all entries."""
    if pa.types.is_null(column.type):
        return []
    entries = normalized_ids(pc.list_flatten(decoded(column)).drop_null())
    if not len(entries):
        return []
    units = measured.stats.total[0]
    total = len(entries) if units is None else from_units(units)
    counted = pc.value_counts(entries)
    return _rank(
        [
            (str(value)[:_LONGEST_VALUE], round(times * total / len(entries)))
            for value, times in zip(
                counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
            )
        ]
    )


def _rank(values: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(values, key=lambda item: (-item[1], item[0]))[:TOP_VALUES]
