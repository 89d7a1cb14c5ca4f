"""Intraclass correlation and design effect: how many independent rows correlated rows are worth.

The intraclass correlation r of each column within the rows of one user, request or candidate, by the analysis of
variance (Donner, Int. Statistical Review 54, 1986), on the sample. The design effect of n rows in clusters of m is
``1 + (m - 1) r``, and their effective sample size ``n / (1 + (m - 1) r)`` (Kish, "Survey Sampling", 1965, ch. 5.4).
"""

import numpy as np
import pyarrow as pa

from components.validate.profile.columns import Block
from components.validate.profile.histogram import NUMBER_BINS, estimate_cardinality, number_bins
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.statistics import Counts, Flags, Floats
from components.validate.profile.values import WrongWidthError, values_of
from recap_model.data.log.id_hashing import splitmix64

_COLUMNS_AT_ONCE = 64

Correlations = dict[str, dict[str, float]]  # by column, then by the column of ids


def intraclass_correlations(sample: pa.Table | None, blocks: list[Block]) -> Correlations:
    """Of each position of features, weight and labels; a column that is not in the sample has none."""
    found: Correlations = {}
    if sample is None:
        return found
    (batch,) = sample.combine_chunks().to_batches(max_chunksize=None)[:1]
    groups = {
        name: _groups(batch.column(name))
        for block in blocks
        if block.role == "id"
        for name in block.columns
        if name in batch.schema.names
    }
    for block in blocks:
        if block.role in ("id", "split", "timestamp", "moment"):
            continue
        if not set(block.columns) <= set(batch.schema.names):
            continue
        try:
            values = values_of(batch, block).array.T
        except WrongWidthError:
            continue
        for first in range(0, len(values), _COLUMNS_AT_ONCE):
            some = slice(first, first + _COLUMNS_AT_ONCE)
            classes, there = _classes(block, np.ascontiguousarray(values[some]))
            for name, codes in groups.items():
                for label, one in zip(block.labels[some], _strongest(classes, there, codes), strict=True):
                    found.setdefault(label, {})[name] = float(one)
    return found


def effective_fraction(part: PartitionProfile, correlations: dict[str, float]) -> float:
    """How many independent rows each row is worth, 0 to 1; ``correlations`` are of one column, by the column of ids.

    A user's requests are in the user, so of several effects the greatest stands for all.
    """
    block, effect = part.blocks.get("id"), 1.0
    for place, name in enumerate(block.labels if block else ()):
        assert block is not None
        if clusters := estimate_cardinality(block.sketch.of(place)[0]):
            effect = max(effect, 1.0 + (part.rows / clusters - 1.0) * correlations.get(name, 0.0))
    return 1.0 / effect


def _classes(block: Block, values: Floats) -> tuple[Floats, Flags]:
    """(columns, rows) numbers by their bins, which skewness does not stretch; ids as numbers without an order."""
    if block.role == "discrete":
        unordered = splitmix64(values.view(np.uint64)) % np.uint64(NUMBER_BINS)
        return unordered.astype(np.float64), np.isfinite(values)
    return number_bins(values).astype(np.float64), np.isfinite(values)


def _groups(column: pa.Array) -> Counts:
    return column.dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64) + 1


def _strongest(values: Floats, there: Flags, codes: Counts) -> Floats:
    """Of each position the greater of its values' correlation and of that of being missing."""
    of_values = _correlations(values, there, codes)
    if there.all():
        return of_values
    return np.maximum(of_values, _correlations(there.astype(np.float64), np.ones_like(there), codes))


def _correlations(values: Floats, there: Flags, codes: Counts) -> Floats:
    """Of each of (columns, rows) values that are there, 0 to 1; 0 where it is not defined."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    rows = np.maximum(there.sum(axis=1), 1)
    mean = np.where(there, values, 0.0).sum(axis=1) / rows
    centred = np.where(there, values - mean[:, np.newaxis], 0.0)[:, order]
    sizes = np.add.reduceat(there[:, order].astype(np.int64), starts, axis=1)
    sums = np.add.reduceat(centred, starts, axis=1)
    groups = np.count_nonzero(sizes, axis=1)
    between = (sums**2 / np.maximum(sizes, 1)).sum(axis=1)
    within = (centred**2).sum(axis=1) - between
    freedom, inside = np.maximum(groups - 1, 1), np.maximum(rows - groups, 1)
    usual_size = (rows - (sizes**2).sum(axis=1) / rows) / freedom
    between, within = between / freedom, np.maximum(within / inside, 0.0)
    spread = between + (usual_size - 1.0) * within
    defined = (groups > 1) & (groups < rows) & (spread > 0.0)
    correlations: Floats = np.clip((between - within) / np.where(defined, spread, np.inf), 0.0, 1.0)
    return correlations
