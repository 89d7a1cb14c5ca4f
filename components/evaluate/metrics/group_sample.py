"""Whole groups of rows, a user's or a request's, as many as memory allows: for metrics of the order in a group."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap_model.data.log.id_hashing import uniform

MOST_ROWS = 250_000
_SEED = 71

Column = NDArray[Any]


class GroupSample:
    """Keeps every row of a group, or none, by a hash of the group's id; all groups while their rows are few.

    Once the rows are more than ``most``, half of the groups go, by chance that has nothing to do with what they hold;
    which ones depends on their ids alone, not on the order of the rows. ``share`` of the groups is kept.
    """

    def __init__(self, most: int = MOST_ROWS) -> None:
        self.share = 1.0
        self._most = most
        self._parts: list[dict[str, Column]] = []
        self._rows = 0

    def add(self, groups: NDArray[np.int64], columns: Mapping[str, Column]) -> None:
        """Count rows: the number of their group, and what is to be kept of them, (rows,) each."""
        self._keep({"group": groups, "draw": uniform(groups, _SEED), **columns})
        while self._rows > self._most:
            self.share /= 2
            parts, self._parts, self._rows = self._parts, [], 0
            for part in parts:
                self._keep(part)

    def _keep(self, part: dict[str, Column]) -> None:
        kept = part["draw"] < self.share
        if not kept.all():
            part = {name: values[kept] for name, values in part.items()}
        self._parts.append(part)
        self._rows += len(part["group"])

    def columns(self) -> dict[str, Column]:
        """The kept rows, ``group`` among the columns; none if nothing was added."""
        if not self._parts:
            return {}
        names = [name for name in self._parts[0] if name != "draw"]
        return {name: np.concatenate([part[name] for part in self._parts]) for name in names}
