"""A bounded sample of whole groups of rows, a user's or a request's: for metrics of the order within a group."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap_model.data.log.id_hashing import uniform

MAX_ROWS = 250_000
_SEED = 71

Column = NDArray[Any]


class GroupSample:
    """Keeps every row of a group, or none, by a hash of the group's id; all groups while their rows are few.

    Once the rows are more than ``max_rows``, half of the groups go, at random with respect to their content;
    which ones depends on their ids alone, not on the order of the rows. ``fraction`` of the groups is kept.
    """

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self.fraction = 1.0
        self._max_rows = max_rows
        self._batches: list[dict[str, Column]] = []
        self._rows = 0

    def add(self, groups: NDArray[np.int64], columns: Mapping[str, Column]) -> None:
        """Add rows: their group's number and the columns to keep, (rows,) each."""
        self._keep({"group": groups, "draw": uniform(groups, _SEED), **columns})
        while self._rows > self._max_rows:
            self.fraction /= 2
            batches, self._batches, self._rows = self._batches, [], 0
            for batch in batches:
                self._keep(batch)

    def _keep(self, batch: dict[str, Column]) -> None:
        kept = batch["draw"] < self.fraction
        if not kept.all():
            batch = {name: values[kept] for name, values in batch.items()}
        self._batches.append(batch)
        self._rows += len(batch["group"])

    def columns(self) -> dict[str, Column]:
        """The kept rows, ``group`` among the columns; none if nothing was added."""
        if not self._batches:
            return {}
        names = [name for name in self._batches[0] if name != "draw"]
        return {name: np.concatenate([batch[name] for batch in self._batches]) for name in names}
