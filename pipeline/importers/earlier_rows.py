"""Point-in-time counts and rates: features of a row from strictly earlier rows of the same user or item."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
LAST_MS = 4_102_444_799_999  # of the year 2099
_PRIOR_ROWS = 10.0

Numbers = NDArray[np.float64]


def earlier_counts_and_rates(
    entities: dict[str, NDArray[np.int64]], time_ms: NDArray[np.int64], labels: dict[str, Numbers]
) -> dict[str, pa.Array | NDArray[np.generic]]:
    """Columns of counts, rates and ages of the rows of the same entity at a strictly earlier time.

    ``all_TASK_rate`` is of all earlier rows. For each of ``entities`` (``user``, …) there are ``NAME_impressions``,
    ``NAME_hours_since`` the last one, null without one, and ``NAME_TASK_rate``, smoothed towards the rate of all with
    the weight of ten rows.
    """
    columns: dict[str, pa.Array | NDArray[np.generic]] = {}
    everyone = _EarlierRows(np.zeros_like(time_ms), time_ms)
    overall = {task: everyone.rate(label, np.full(len(time_ms), 0.5)) for task, label in labels.items()}
    columns |= {f"all_{task}_rate": rate for task, rate in overall.items()}
    for name, entity in entities.items():
        past = _EarlierRows(entity, time_ms)
        columns[f"{name}_impressions"] = past.count.astype(np.float32)
        age_hours = (time_ms - past.last_time()) / HOUR_MS
        columns[f"{name}_hours_since"] = pa.array(age_hours.astype(np.float32), mask=past.count == 0)
        columns |= {f"{name}_{task}_rate": past.rate(label, overall[task]) for task, label in labels.items()}
    return columns


class _EarlierRows:
    """Count, sums and rates of the rows of the same entity at a strictly earlier time."""

    def __init__(self, entity: NDArray[np.int64], time: NDArray[np.int64]) -> None:
        self._order = np.lexsort((time, entity))
        sorted_entity, self._time = entity[self._order], time[self._order]
        new_entity = np.append(True, np.diff(sorted_entity) != 0)
        new_time = new_entity | np.append(True, np.diff(self._time) != 0)
        indices = np.arange(len(time))
        self._first = np.maximum.accumulate(np.where(new_entity, indices, 0))
        self._first_at_time = np.maximum.accumulate(np.where(new_time, indices, 0))

        self.count = self._total(np.ones(len(time)))

    def rate(self, label: Numbers, prior: NDArray[np.floating]) -> NDArray[np.float32]:
        """The rate of a label, smoothed towards ``prior`` with the weight of `_PRIOR_ROWS` rows."""
        rate = (self._total(label) + _PRIOR_ROWS * prior.astype(np.float64)) / (self.count + _PRIOR_ROWS)
        return rate.astype(np.float32)

    def _total(self, values: Numbers) -> Numbers:
        before = np.concatenate([[0.0], np.cumsum(values[self._order])])
        return self._restore_order(before[self._first_at_time] - before[self._first])

    def last_time(self) -> Numbers:
        """The time of the last earlier row; of a row without one, its own."""
        last = np.where(self._first_at_time > self._first, self._first_at_time - 1, self._first_at_time)
        return self._restore_order(self._time[last].astype(np.float64))

    def _restore_order(self, values: Numbers) -> Numbers:
        result = np.empty_like(values)
        result[self._order] = values
        return result
