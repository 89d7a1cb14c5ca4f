"""Negative downsampling, and its correction by weights or by rates per task."""

import numpy as np
from numpy.typing import NDArray

from components.prepare.rows import Rows
from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import Sampling
from recap_model.data.log.id_hashing import uniform


class NegativeSampler:
    """Keeps every training row that is positive for a listed task, and a fixed fraction of the others.

    Whether a row is kept is a function of its number and the seed. The weights of the kept others are divided by the
    rate, or, if numeric calibration corrects for sampling, stay and are counted for the rates.

    Attributes:
        counts: (2, 2, tasks) rows with a label, before and kept, negative and positive.
    """

    def __init__(self, config: RecapConfig) -> None:
        self._config = config
        self._tasks = list(config.tasks)
        sampling = config.data.negative_downsampling
        self._rate = sampling.rate if sampling else 1.0
        listed = (sampling.tasks if sampling else None) or config.binary_tasks
        self._listed = [self._tasks.index(task) for task in listed]
        self._reweigh = config.data.sampling_correction == "weights"
        self.counts: NDArray[np.int64] = np.zeros((2, 2, len(self._tasks)), dtype=np.int64)

    def __call__(self, rows: Rows) -> Rows:
        """Sample the rows."""
        if self._rate == 1.0:
            self._count(0, rows)
            self._count(1, rows)
            return rows
        positive = (rows.labels[:, self._listed] > 0.0).any(axis=1)
        kept = positive | (uniform(rows.number, self._config.data.seed) < self._rate)
        self._count(0, rows)
        if self._reweigh:
            rows.weight = np.where(positive, rows.weight, rows.weight / self._rate).astype(np.float32)
        rows = rows.take(kept)
        self._count(1, rows)
        return rows

    def rates(self) -> dict[str, Sampling]:
        """Each task's sampling rates, for numeric calibration; empty if weights correct for sampling."""
        if self._reweigh:
            return {}
        before, kept = self.counts
        rate = np.divide(kept, before, out=np.ones_like(kept, dtype=float), where=before > 0)
        rates = {}
        for number, task in enumerate(self._tasks):
            log = self._config.tasks[task]
            rates[task] = Sampling(
                positive_rate=float(rate[1, number]) * log.pos_downsampling_rate,
                negative_rate=float(rate[0, number]) * log.neg_downsampling_rate,
            )
        return rates

    def merge(self, other: "NegativeSampler") -> None:
        """Add the counts of another sampler of the same config."""
        self.counts += other.counts

    def _count(self, when: int, rows: Rows) -> None:
        for value in (0, 1):
            self.counts[when, value] += _labelled(rows.labels, value)


def _labelled(labels: NDArray[np.float32], value: int) -> NDArray[np.int64]:
    return (labels == value).sum(axis=0)
