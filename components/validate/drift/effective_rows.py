"""Intraclass correlation and design effect: how many independent rows correlated rows are worth.

The intraclass correlation r of each column within the rows of one user, request or candidate, by the analysis of
variance (Donner, Int. Statistical Review 54, 1986), on the sample. The design effect of n rows in clusters of m is
``1 + (m - 1) r``, and their effective sample size ``n / (1 + (m - 1) r)`` (Kish, "Survey Sampling", 1965, ch. 5.4).
"""

import numpy as np
import pyarrow as pa

from components.validate.profile.columns import Block
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.sketches.histogram import (
    NUMBER_BINS,
    assign_number_bins,
    estimate_cardinality,
)
from components.validate.profile.statistics import Counts, Flags, Floats
from components.validate.profile.values import WrongWidthError, read_values
from recap_model.data.log.id_hashing import splitmix64

_COLUMNS_PER_CHUNK = 64

Correlations = dict[str, dict[str, float]]  # by column, then by the column of ids


def measure_correlations(sample: pa.Table | None, blocks: list[Block]) -> Correlations:
    """Measure each position of features, weight and labels; a column that is not in the sample has none."""
    correlations: Correlations = {}
    if sample is None:
        return correlations
    (batch,) = sample.combine_chunks().to_batches(max_chunksize=None)[:1]
    clusters = {
        name: _encode(batch.column(name))
        for block in blocks
        if block.role == "id"
        for name in block.columns
        if name in batch.schema.names
    }
    for block in blocks:
        if block.role in ("id", "split", "timestamp", "moment", "sequence_time"):
            continue
        if not set(block.columns) <= set(batch.schema.names):
            continue
        try:
            values = read_values(batch, block).array.T
        except WrongWidthError:
            continue
        for first in range(0, len(values), _COLUMNS_PER_CHUNK):
            chunk = slice(first, first + _COLUMNS_PER_CHUNK)
            classes, present = _classify(block, np.ascontiguousarray(values[chunk]))
            for name, codes in clusters.items():
                strongest = _strongest_correlation(classes, present, codes)
                for label, value in zip(block.labels[chunk], strongest, strict=True):
                    correlations.setdefault(label, {})[name] = float(value)
    return correlations


def effective_fraction(profile: PartitionProfile, correlations: dict[str, float]) -> float:
    """How many independent rows each row is worth, 0 to 1; ``correlations`` are of one column, by the column of ids.

    Clusters are nested, a user's requests in the user, so the greatest design effect counts.
    """
    block, effect = profile.blocks.get("id"), 1.0
    for position, name in enumerate(block.labels if block else ()):
        assert block is not None
        if clusters := estimate_cardinality(block.histograms.select(position)[0]):
            effect = max(effect, 1.0 + (profile.rows / clusters - 1.0) * correlations.get(name, 0.0))
    return 1.0 / effect


def _classify(block: Block, values: Floats) -> tuple[Floats, Flags]:
    """Bins of (columns, rows) numbers, which skewness does not stretch; hashes of ids, which have no order."""
    if block.are_ids:
        unordered = splitmix64(values.view(np.uint64)) % np.uint64(NUMBER_BINS)
        return unordered.astype(np.float64), np.isfinite(values)
    return assign_number_bins(values).astype(np.float64), np.isfinite(values)


def _encode(column: pa.Array) -> Counts:
    return column.dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64) + 1


def _strongest_correlation(values: Floats, present: Flags, codes: Counts) -> Floats:
    """The greater correlation of each position: of its values, or of their being missing."""
    correlations = _correlate(values, present, codes)
    if present.all():
        return correlations
    return np.maximum(correlations, _correlate(present.astype(np.float64), np.ones_like(present), codes))


def _correlate(values: Floats, present: Flags, codes: Counts) -> Floats:
    """Intraclass correlations (columns,) of the ``present`` of (columns, rows) values; 0 where undefined."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    rows = np.maximum(present.sum(axis=1), 1)
    mean = np.where(present, values, 0.0).sum(axis=1) / rows
    centred = np.where(present, values - mean[:, np.newaxis], 0.0)[:, order]
    sizes = np.add.reduceat(present[:, order].astype(np.int64), starts, axis=1)
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
