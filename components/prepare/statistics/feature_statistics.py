"""Feature statistics of the training rows, in one pass and bounded memory."""

import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from components.prepare.rows import Rows
from components.prepare.statistics.collisions import HashedTables
from components.prepare.statistics.row_sample import Number, RowSample
from recap_model.config import RecapConfig
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.data.log.slices import PREFIX, quantile_bounds

_SHARES = np.linspace(0.0, 1.0, 65)
_SAMPLE_BYTES = 64 << 20
_MAX_SAMPLE_ROWS = 50_000


class StatisticsBuilder:
    """Moments of the signed log, quantile knots of a seeded sample, hash collisions.

    Sums are kept by file and added in the order of the files, because floating-point addition in another order would
    make the result depend on the number of groups. Ids are counted apart, see
    `components.prepare.statistics.vocabularies`.
    """

    def __init__(self, config: RecapConfig) -> None:
        self._width = config.features.width("continuous")
        self._moments: list[NDArray[np.float64]] = []
        self._config = config
        self._sample = _sample(config, self._width, np.float32)
        self._slice_columns = config.evaluation.slice_columns(quantiles_only=True)
        self._slice_sample = _sample(config, len(self._slice_columns), np.float64)
        self._hashed = HashedTables(config)

    def begin_file(self) -> None:
        """Begin the next file of the log; also called before the first."""
        self._moments.append(np.zeros((3, self._width)))

    def add(self, rows: Rows) -> None:
        """Add rows."""
        if self._width:
            self._add_continuous(rows)
        if self._slice_columns:
            columns = [
                rows.keys[PREFIX + name].to_numpy(zero_copy_only=False) for name in self._slice_columns
            ]
            self._slice_sample.add(rows.number, np.stack(columns, axis=1))
        self._hashed.add(rows)

    def add_crosses(self, crosses: Mapping[str, NDArray[np.uint64]]) -> None:
        """Add the hashes of crosses, of the rows given to `add`."""
        self._hashed.add_crosses(crosses)

    def merge(self, later: "StatisticsBuilder") -> None:
        """Add the statistics of later files, from another builder of the same config."""
        self._moments += later._moments
        self._sample.merge(later._sample)
        self._slice_sample.merge(later._slice_sample)
        self._hashed.merge(later._hashed)

    def _add_continuous(self, rows: Rows) -> None:
        values: NDArray[np.float32] = rows.groups["continuous"]  # type: ignore[assignment]
        logs = np.sign(values) * np.log1p(np.abs(values), dtype=np.float64)
        count, total, squares = self._moments[-1]
        count += np.isfinite(logs).sum(axis=0)
        total += np.nansum(logs, axis=0)
        squares += np.nansum(logs**2, axis=0)
        self._sample.add(rows.number, values)

    def result(self, vocabularies: Mapping[str, dict[int, int]]) -> FeatureStatistics:
        """The statistics of all rows so far. A column without a finite value has mean 0, deviation 1.

        Args:
            vocabularies: of what is looked up by frequency, the ids with their counts.
        """
        count, total, squares = functools.reduce(np.add, self._moments, np.zeros((3, self._width)))
        count = np.maximum(count, 1)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return FeatureStatistics(
            log_mean=mean.tolist(),
            log_std=np.where(deviation > 0, deviation, 1.0).tolist(),
            knots=[_knots(column) for column in self._sample.values.T],
            vocabularies=dict(vocabularies),
            collisions=self._hashed.result(),
            slice_quantiles={
                name: quantile_bounds(self._config, name, column)
                for name, column in zip(self._slice_columns, self._slice_sample.values.T, strict=True)
            },
        )


def _sample(config: RecapConfig, width: int, dtype: type[Number]) -> RowSample[Number]:
    size = np.dtype(dtype).itemsize * max(width, 1)
    return RowSample(width, min(_MAX_SAMPLE_ROWS, _SAMPLE_BYTES // size), config.data.seed + 1, dtype)


def _knots(column: NDArray[np.float32]) -> list[float]:
    """Quantiles of the values, and of the values without the most frequent one.

    A count that is nearly always 0 is informative in the few other rows, which its plain quantiles would put into one
    or two bins.
    """
    finite = np.sort(column[np.isfinite(column)])
    if not len(finite):
        return []
    values, counts = np.unique(finite, return_counts=True)
    others = finite[finite != values[counts.argmax()]]
    parts = [np.quantile(part, _SHARES, method="nearest") for part in (finite, others) if len(part)]
    return np.unique(np.concatenate(parts)).tolist()
