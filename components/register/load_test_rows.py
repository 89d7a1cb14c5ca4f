"""Rows of the test set for the load test, under the log's column names, with evaluate's scores."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.evaluation import SCORES_NAME
from components.common.artifacts.score_table import read_scores, to_numpy
from components.register.run_outputs import RunOutputs
from recap_model.config import RecapConfig
from recap_model.config.data.features import DENSE_GROUPS, FeaturesConfig, ListColumn
from recap_model.config.data.sequences import SequenceColumn
from recap_model.config.fields.names import SCORE
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.log.id_lists import PREFIX
from recap_model.data.log.sequences import MS_PER_HOUR, column_name

if TYPE_CHECKING:
    import pandas as pd

_IMPRESSED_MS = 1_700_000_000_000


def scored_rows(run: RunOutputs, most: int) -> tuple[pa.Table, "pd.DataFrame"]:
    """The first rows of the test set, at most ``most``, and evaluate's scores of them.

    Returns:
        The model's feature columns; a column for each task, and ``score``.

    Raises:
        FileNotFoundError: the evaluation or the test set has lost a file.
        ValueError: the evaluation's scores are of other rows or tasks.
    """
    tasks = list(run.config.tasks)
    reader = DatasetReader(run.test_set, tasks, most, config=run.config)
    rows = next((rows for rows, _ in reader.batches_with_rows()), None)
    if rows is None:
        raise ValueError(f"{run.test_set}: has no rows; run prepare on a window with data")
    path = run.evaluation / SCORES_NAME
    scores, scored = _scores(path, run.config, len(rows))
    if scored != reader.rows:
        raise ValueError(f"{path}: has scores of other rows than {run.test_set}; run evaluate again")
    return to_columns(rows, run.config.features), scores


def to_columns(rows: pa.RecordBatch, features: FeaturesConfig) -> pa.Table:
    """Columns of the log for a dataset's groups; the inverse of `read_groups`."""
    columns: dict[str, pa.Array] = {}
    for group in DENSE_GROUPS:
        value = getattr(features, group)
        if not features.width(group):
            continue
        column = rows.column(group)
        if isinstance(value, ListColumn):
            columns[value.column] = column if value.slices is None else _whole_lists(column, value)
            continue
        values = _values(column)
        columns |= {name: pa.array(values[:, number]) for number, name in enumerate(value)}
    columns |= {name: rows.column(PREFIX + name) for name in features.sparse}
    for name, sequence in features.all_sequences().items():
        for key, side in sequence.columns.items():
            lists = [
                _logged_events(events, side) for events in rows.column(column_name(name, key)).to_pylist()
            ]
            newest_first = sequence.order == "newest_first"
            columns[side.column] = pa.array(lists if newest_first else [events[::-1] for events in lists])
            if side.kind == "time" and features.timestamps.impressed is not None:
                columns[features.timestamps.impressed] = pa.array([_IMPRESSED_MS] * len(rows))
    return pa.table(columns)


def _logged_events(events: list[Any], side: SequenceColumn) -> list[Any]:
    """A list of the log for one of a dataset; times are as long before `_IMPRESSED_MS` as they were."""
    if side.kind == "time":
        return [None if math.isnan(hours) else _IMPRESSED_MS - round(hours * MS_PER_HOUR) for hours in events]
    if side.values is not None:
        return [[action for bit, action in enumerate(side.values) if mask >> bit & 1] for mask in events]
    return events


def _values(column: pa.FixedSizeListArray) -> NDArray[np.generic]:
    return np.asarray(column.flatten()).reshape(len(column), column.type.list_size)


def _whole_lists(column: pa.FixedSizeListArray, stored: ListColumn) -> pa.FixedSizeListArray:
    """Lists of the log's width, with zeros in the elements that the model does not read."""
    values = _values(column)
    padded = np.zeros((len(column), stored.width), dtype=values.dtype)
    padded[:, stored.positions] = values
    return pa.FixedSizeListArray.from_arrays(pa.array(padded.ravel()), stored.width)


def _scores(path: Path, config: RecapConfig, rows: int) -> tuple["pd.DataFrame", int]:
    """The first rows of the score table, and its number of rows."""
    import pandas as pd

    table = read_scores(path, config)
    wanted = {f"candidate/{task}": task for task in table.tasks} | {"score/candidate": SCORE}
    first = next(table.batches(list(wanted), rows), None)
    scored = 0 if first is None else len(first)
    if first is None or scored != rows:
        raise ValueError(f"{path}: has scores of {scored} rows, the test set of {rows}; run evaluate again")
    return pd.DataFrame({name: to_numpy(first, column) for column, name in wanted.items()}), table.rows
