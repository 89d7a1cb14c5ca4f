"""One pass over the score table: counts of rows and users, and samples of whole lists, users and scores."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.score_table import ScoreTable, to_numpy
from components.common.metrics.accumulate import columns_of
from components.common.metrics.group_sample import GroupSample
from recap_model.config import RecapConfig
from recap_model.data.log.id_hashing import id_numbers, is_present

Column = NDArray[Any]


class Samples:
    """What the metrics of ranked lists and within users are computed from.

    Attributes:
        users: how many there are; None where the table has none.
        not_finite: rows of which the candidate's score, or a probability, is no finite number.
        slice_rows: rows of each slice.
        lists: rows of sampled requests or users, as ``by`` says: gains and each model's score.
        by_user: rows of sampled users: labels, weights, predictions, slices. A row without the id is in neither.
        scores: sampled rows' scores of each model.
    """

    def __init__(self, table: ScoreTable, config: RecapConfig) -> None:
        self.not_finite = 0
        self.slice_rows = dict.fromkeys(table.slices, 0)
        self.by = next((name for name in ("request", "user") if name in table.names), None)
        self.lists, self.by_user, self.scores = GroupSample(), GroupSample(), GroupSample()
        self._table = table
        self._config = config
        self._users: list[NDArray[np.int64]] = []
        ids = [name for name in ("user", "request") if name in table.names]
        columns = [*ids, *columns_of(table, table.tasks), *(f"score/{model}" for model in table.models)]
        done = 0
        for batch in table.batches(columns):
            self._add(batch, done)
            done += batch.num_rows

    @property
    def users(self) -> int | None:
        if "user" not in self._table.names:
            return None
        return len(np.unique(np.concatenate(self._users))) if self._users else 0

    def _add(self, batch: pa.RecordBatch, done: int) -> None:
        table = self._table
        by_model = {model: to_numpy(batch, f"score/{model}") for model in table.models}
        finite = np.isfinite(by_model["candidate"])
        columns: dict[str, Column] = {
            f"slice/{name}": to_numpy(batch, f"slice/{name}") for name in table.slices
        }
        for name in table.slices:
            self.slice_rows[name] += int(columns[f"slice/{name}"].sum())
        gains = np.zeros(batch.num_rows)
        for task in table.tasks:
            for kind in ("label", "weight", *table.models):
                columns[f"{kind}/{task}"] = to_numpy(batch, f"{kind}/{task}")
            gains += self._config.tasks[task].score_weight * np.nan_to_num(columns[f"label/{task}"])
            finite &= np.isfinite(columns[f"candidate/{task}"])
        for term in self._config.score_terms.values():
            gains += term.weight * np.prod(
                [np.nan_to_num(columns[f"label/{task}"]) for task in term.of], axis=0
            )
        self.not_finite += int((~finite).sum())
        self.scores.add(np.arange(done, done + batch.num_rows), by_model)
        if self.by is not None:
            self.lists.add(*_rows_with_id(batch.column(self.by), {"gain": gains, **by_model}))
        if "user" in table.names:
            users, columns = _rows_with_id(batch.column("user"), columns)
            self._users = [np.unique(np.concatenate([*self._users, users]))]
            self.by_user.add(users, columns)


def _rows_with_id(ids: pa.Array, columns: dict[str, Column]) -> tuple[NDArray[np.int64], dict[str, Column]]:
    """The ids' numbers, and the columns, of the rows that have the id."""
    present = is_present(ids)
    return id_numbers(ids)[present], {name: values[present] for name, values in columns.items()}
