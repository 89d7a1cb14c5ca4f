"""AUC of one column by itself against each task's label, from counts that merge in any order."""

import numpy as np
from numpy.typing import NDArray

from recap_model.metrics.ranking import auc

MISSING_KEY = -1
"""Of a row without a value."""

_KEY_BITS = 16
_ORDERED_BINS = 64
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # of Fibonacci hashing (Knuth, TAOCP 3, 6.4)


def number_keys(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Keys of numbers, (rows,), that rise with them: the upper 16 bits of a float32, 3 digits; NaN is missing.

    >>> number_keys(np.array([-2.0, 0.0, 1.0, 1e9, np.nan])).tolist()
    [16383, 32768, 49024, 52846, -1]
    """
    with np.errstate(over="ignore"):
        bits = (values + 0.0).astype(np.float32).view(np.uint32).astype(np.int64)
    negative = bits >> 31 == 1
    ordered = np.where(negative, (1 << 32) - 1 - bits, bits | 1 << 31) >> (32 - _KEY_BITS)
    return np.where(np.isnan(values), MISSING_KEY, ordered)


def id_keys(ids: NDArray[np.int64], missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Keys of ids or of hashes, (rows,): 16 bits of a hash, so that at most 65,536 ids are distinct."""
    with np.errstate(over="ignore"):
        hashed = (ids.astype(np.uint64) * _HASH_FACTOR) >> np.uint64(64 - _KEY_BITS)
    return np.where(missing, MISSING_KEY, hashed.astype(np.int64))


class LabelCounts:
    """Rows of each label by the keys of a column's values, in two folds.

    Args:
        tasks: number of tasks.
        ordered: keys are of numbers, by `number_keys`; else of ids.

    Attributes:
        keys: (keys,) int64, rising.
        counts: (keys, tasks, folds, labels) int64: rows with label 0, then 1.
    """

    def __init__(self, tasks: int, ordered: bool):
        self.ordered = ordered
        self.keys = np.empty(0, dtype=np.int64)
        self.counts = np.zeros((0, tasks, 2, 2), dtype=np.int64)

    def add(self, keys: NDArray[np.int64], labels: NDArray[np.floating], first_row: int = 0) -> None:
        """Add rows.

        Args:
            keys: (rows,).
            labels: (rows, tasks) of 0, 1 or NaN.
            first_row: number of the first row in its file; even and odd rows are the two folds.
        """
        values, places = np.unique(keys, return_inverse=True)
        folds = (np.arange(len(keys)) + first_row) % 2
        counts = np.zeros((len(values), *self.counts.shape[1:]), dtype=np.int64)
        for task, column in enumerate(labels.T):
            known = ~np.isnan(column)
            cells = 4 * places[known] + 2 * folds[known] + column[known].astype(np.int64)
            counts[:, task] = np.bincount(cells, minlength=4 * len(values)).reshape(-1, 2, 2)
        self._add_counts(values, counts)

    def merge(self, other: "LabelCounts") -> None:
        """Add the counts of other rows."""
        self._add_counts(other.keys, other.counts)

    def aucs(self) -> NDArray[np.float64]:
        """The AUC of the column alone for each task, (tasks,); NaN for a task with one class.

        A key's score is the rate of positives among the rows of the other fold that have it, so that many values of
        few rows each do not look informative. Numbers are put into 64 bins of about as many rows; where they rank
        the rows better by their own size, up or down, that AUC is the result.
        """
        areas = np.array([self._rate_auc(task) for task in range(self.counts.shape[1])])
        if not self.ordered:
            return areas
        by_size = np.array(
            [_auc(self.keys.astype(float), counts.sum(axis=1)) for counts in self.counts.swapaxes(0, 1)]
        )
        return np.fmax(areas, np.fmax(by_size, 1.0 - by_size))

    def _rate_auc(self, task: int) -> float:
        counts = self.counts[:, task]
        if self.ordered:
            counts = self._binned(counts)
        totals = counts.sum(axis=(0, 1))
        prior = totals[1] / max(totals.sum(), 1)
        others = counts[:, ::-1]
        rates = (others[..., 1] + prior) / (others.sum(axis=2) + 1.0)
        return _auc(rates.ravel(), counts.reshape(-1, 2))

    def _binned(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts of neighbouring keys added up, but for the missing one."""
        rows = counts.sum(axis=(1, 2))
        present = np.where(self.keys == MISSING_KEY, 0, rows)
        middle = np.cumsum(present) - present / 2
        bins = np.where(
            self.keys == MISSING_KEY, _ORDERED_BINS, middle * _ORDERED_BINS // max(present.sum(), 1)
        )
        binned = np.zeros((_ORDERED_BINS + 1, 2, 2), dtype=np.int64)
        np.add.at(binned, np.minimum(bins, _ORDERED_BINS).astype(np.int64), counts)
        return binned

    def _add_counts(self, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        merged, places = np.unique(np.concatenate([self.keys, keys]), return_inverse=True)
        total = np.zeros((len(merged), *counts.shape[1:]), dtype=np.int64)
        np.add.at(total, places, np.concatenate([self.counts, counts]))
        self.keys, self.counts = merged, total


def _auc(scores: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """AUC of scores that have (scores, labels) rows of each label."""
    labels = np.repeat([0.0, 1.0], len(scores))
    return auc(labels, np.tile(scores, 2), counts.T.ravel().astype(float))
