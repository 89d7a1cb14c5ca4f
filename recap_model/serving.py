"""The MLflow pyfunc of a version: rows under the log's column names in, calibrated probabilities out.

MLflow imports this module from the copy of ``recap_model`` inside the version.
"""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recap_model import load_model
from recap_model.config.data.features import FeaturesConfig
from recap_model.config.fields.names import SCORE
from recap_model.config.reading.errors import in_one_line
from recap_model.file_digests import CACHE, DIGESTS_NAME, differences
from recap_model.scoring import (
    config_of,
    history_columns,
    iter_slices,
    optional_columns,
    score_rows,
    score_weights,
)

if TYPE_CHECKING:
    import pandas as pd

_ROWS_AT_ONCE = 8192
_LOADED = ("MLmodel", "code/", "data/")


class Scored(NamedTuple):
    """Rows as the model read them, the history of all of them if one was given, and scores, (rows, tasks + 1)."""

    rows: pa.Table
    history: pa.Table | None
    scores: NDArray[np.float32]


class RecapPyfunc:
    """Scores rows with a saved model; MLflow calls `predict`."""

    def __init__(self, folder: str) -> None:
        self.model = load_model(folder)
        try:
            self.features = config_of(self.model).features
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from None

    def get_raw_model(self) -> "RecapPyfunc":
        """This object, through which `predict` also takes Arrow tables."""
        return self

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Score rows.

        Args:
            model_input: a pandas frame, a dict of arrays (one of lists is 2-D), an Arrow table or record
                batch; its columns are the log's feature columns, others are ignored. A column of an embedding
                may be left out: all zeros.
            params: ``{"weights": {TASK: WEIGHT}}`` replaces these tasks' (or terms') weights in the score.
                ``{"history": {COLUMN: LIST}}`` is the one history that all rows read, in the columns of its lists
                (and, where events have times, the time of the impression); the rows then have none of these.

        Returns:
            A frame with a float32 column for each task, its calibrated probability, and ``score``.

        Raises:
            ValueError: a column is missing or not of its group's type, or a weight is of no task; the message
                names it.
        """
        import pandas as pd

        scores = self.score(model_input, params).scores
        index = model_input.index if isinstance(model_input, pd.DataFrame) else None
        return pd.DataFrame(scores, columns=self.outputs, index=index)

    @property
    def outputs(self) -> list[str]:
        """The columns of the scores: each task, and ``score``."""
        return [*self.model.tasks, SCORE]

    def score(self, model_input: Any, params: dict[str, Any] | None = None) -> Scored:
        """As `predict`, without pandas."""
        weights = score_weights(self.model, (params or {}).get("weights") or {})
        table = to_table(model_input, self.features)
        history = _to_history((params or {}).get("history"), table, self.features)
        scored = [
            score_rows(self.model, rows, weights, history=history)
            for rows in iter_slices(table, _ROWS_AT_ONCE)
        ] or [np.empty((0, len(self.model.tasks) + 1), dtype=np.float32)]
        return Scored(table, history, np.concatenate(scored))


def to_table(rows: Any, features: FeaturesConfig) -> pa.Table:
    """The feature columns of a pandas frame, a dict of arrays or an Arrow table, as an Arrow table.

    Raises ValueError naming the required columns that are not there, or the one that Arrow cannot hold.
    """
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    _check_form(rows)
    counts = Counter(iter(rows.column_names if isinstance(rows, pa.Table) else rows))
    columns, missing = features.columns(), features.missing(set(counts))
    if missing and (len(missing) == len(columns) or not set(missing) <= set(optional_columns(features))):
        raise ValueError(f"input: no column {', '.join(missing)}; the model reads it as a feature")
    known = dict.fromkeys([*columns, *features.derived, *history_columns(features)])
    present = [column for column in known if column in counts]
    for name in present:
        if counts[name] > 1:
            raise ValueError(f"input: column {name} is there {counts[name]} times; a column is there once")
    if isinstance(rows, pa.Table):
        return rows.select(present)
    return pa.table({name: to_array(rows, name) for name in present})


def _to_history(given: Any, rows: pa.Table, features: FeaturesConfig) -> pa.Table | None:
    """The parameter ``history`` as a table of one row; None if it is not given.

    Raises ValueError for a column that is none of a history's, or that the rows have too.
    """
    if given is None or (isinstance(given, Mapping) and not given):
        return None
    columns = history_columns(features)
    if not isinstance(given, Mapping):
        raise ValueError(f"history: is a {type(given).__name__}; give a mapping of columns to lists")
    unknown = [name for name in given if name not in columns]
    if unknown:
        raise ValueError(f"history: unknown column {unknown[0]!r}; columns: {', '.join(columns) or 'none'}")
    twice = [name for name in columns if name in rows.column_names and name not in features.columns()]
    if twice:
        raise ValueError(f"history: column {twice[0]} is in the rows too; give a history in one of both")
    return pa.table({name: to_array({name: [value]}, name) for name, value in given.items()})


def _check_form(rows: Any) -> None:
    if isinstance(rows, pa.Table | Mapping):
        return
    import pandas as pd

    if not isinstance(rows, pa.Table | pd.DataFrame | Mapping):
        raise ValueError(
            f"input: is a {type(rows).__name__}; give a pandas frame, a dict of arrays or an Arrow table"
        )


def to_array(rows: Mapping[str, Any], name: str) -> pa.Array:
    """A column of a frame or a dict of arrays. Raises ValueError naming it, and the row, if Arrow cannot hold it."""
    values = rows[name]
    try:
        if isinstance(values, np.ndarray) and values.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"input: column {name}{_find_row(values)}: {in_one_line(error)}") from None
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _find_row(values: Any) -> str:
    """The first row that Arrow cannot hold with those before it, as text for an error; empty if not in a list."""
    if not isinstance(values, list):
        return ""

    def fails(count: int) -> bool:
        try:
            pa.array(values[:count], from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return True
        return False

    return f", row {bisect_left(range(len(values) + 1), True, key=fails) - 1}"


def _load_pyfunc(data_path: str) -> RecapPyfunc:
    """MLflow's entry point: ``data_path`` is the folder that `recap_model.save_model` wrote."""
    _check_digests(Path(data_path).parents[1])
    return RecapPyfunc(data_path)


def _check_digests(version: Path) -> None:
    """Raise ValueError naming the file if what MLflow loads of a version is not as it was registered."""
    path = version / DIGESTS_NAME
    try:
        listed = dict(json.loads(path.read_bytes())) if path.is_file() else None
    except (ValueError, TypeError, RecursionError):
        listed = None
    if listed is None:
        raise ValueError(f"{path}: missing or not a list of digests; serve another version")
    for name, change in differences(version, listed).items():
        # Tools that copy a version may leave out what is named like a cache, but cannot put one in its place.
        without_guard = change == "lost" and name.endswith(f"/{CACHE}")
        if name.startswith(_LOADED) and not without_guard:
            raise ValueError(f"{name}: {change} since the version was registered; serve another version")
