"""Facts about feature columns that rules check: their values over the window, and in each partition."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.validate.checks.rule import NOISE_DEVIATIONS, CheckedLog, Fact

_IMPOSSIBLE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Feature(Fact):
    """One position of a feature column over the window; ``subject`` is the column.

    Attributes:
        missing: null, NaN, the unknown id, an embedding of zeros.
        present: finite values that are not missing.
        outside: of a binary column, values that are neither 0 nor 1.
        is_any_id: values may be hashes of text, which are not shown as numbers.
    """

    role: str
    is_any_id: bool
    rows: int
    missing: int
    present: int
    non_finite: int
    outside: int
    minimum: float
    maximum: float


@dataclass(frozen=True, kw_only=True)
class FeaturePartition(Fact):
    """One position of a feature column in a partition.

    Attributes:
        must_be_present: chance does not explain that no row of the partition has a value.
        noise: what chance makes of the fraction of missing values.
    """

    rows: int
    present: int
    null_rate: float
    window_null_rate: float
    must_be_present: bool
    noise: float


def read_features(log: CheckedLog) -> Iterator[Feature]:
    """The positions of the feature columns over the window."""
    for block in log.feature_blocks:
        stats = log.window.blocks[block.key].stats
        for position, (label, column) in enumerate(zip(block.labels, block.sources, strict=True)):
            yield Feature(
                subject=column,
                label=label,
                role=block.role,
                is_any_id=block.any_id(position),
                rows=int(stats.rows[position]),
                missing=int(stats.missing[position]),
                present=int(stats.finite[position] - stats.unknown[position]),
                non_finite=int(stats.nans[position] + stats.infinities[position]),
                outside=int(stats.outside[position]),
                minimum=float(stats.minimum[position]),
                maximum=float(stats.maximum[position]),
            )


def read_feature_partitions(log: CheckedLog) -> Iterator[FeaturePartition]:
    """The positions of the feature columns in each partition."""
    for name, partition in log.profile.partitions.items():
        for block in log.feature_blocks:
            if block.key not in partition.blocks:
                continue
            stats, window = partition.blocks[block.key].stats, log.window.blocks[block.key].stats
            rows = np.maximum(stats.rows, 1)
            usual = window.missing / np.maximum(window.rows, 1)
            absent = 1.0 - (window.finite - window.unknown) / np.maximum(window.rows, 1)
            noise = NOISE_DEVIATIONS * np.sqrt(usual * (1.0 - usual) / rows)
            required = (stats.rows > 0) & (absent**stats.rows < _IMPOSSIBLE)
            for position, (label, column) in enumerate(zip(block.labels, block.sources, strict=True)):
                yield FeaturePartition(
                    subject=column,
                    label=label,
                    partition=name,
                    rows=int(stats.rows[position]),
                    present=int(stats.finite[position] - stats.unknown[position]),
                    null_rate=float(stats.missing[position] / rows[position]),
                    window_null_rate=float(usual[position]),
                    must_be_present=bool(required[position]),
                    noise=float(noise[position]),
                )
