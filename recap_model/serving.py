"""The MLflow pyfunc of a version: rows under the log's column names in, calibrated probabilities out.

MLflow imports this module from the copy of ``recap_model`` inside the version.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from recap_model import load_model
from recap_model.config.data.features import FeaturesConfig
from recap_model.config.fields.names import SCORE
from recap_model.config.reading.errors import in_one_line
from recap_model.file_digests import CACHE, DIGESTS_NAME, differences
from recap_model.scoring import config_of, iter_slices, optional_columns, score_rows, score_weights

if TYPE_CHECKING:
    import pandas as pd

_ROWS_AT_ONCE = 8192
_LOADED = ("MLmodel", "code/", "data/")


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

        Returns:
            A frame with a float32 column for each task, its calibrated probability, and ``score``.

        Raises:
            ValueError: a column is missing or not of its group's type, or a weight is of no task; the message
                names it.
        """
        import pandas as pd

        weights = score_weights(self.model, (params or {}).get("weights") or {})
        table = to_table(model_input, self.features)
        scored = [score_rows(self.model, rows, weights) for rows in iter_slices(table, _ROWS_AT_ONCE)] or [
            np.empty((0, len(self.model.tasks) + 1), dtype=np.float32)
        ]
        index = model_input.index if isinstance(model_input, pd.DataFrame) else None
        return pd.DataFrame(np.concatenate(scored), columns=[*self.model.tasks, SCORE], index=index)


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
    present = [column for column in (*columns, *features.derived) if column in counts]
    for name in present:
        if counts[name] > 1:
            raise ValueError(f"input: column {name} is there {counts[name]} times; a column is there once")
    if isinstance(rows, pa.Table):
        return rows.select(present)
    return pa.table({name: _to_array(rows, name) for name in present})


def _check_form(rows: Any) -> None:
    import pandas as pd

    if not isinstance(rows, pa.Table | pd.DataFrame | Mapping):
        raise ValueError(
            f"input: is a {type(rows).__name__}; give a pandas frame, a dict of arrays or an Arrow table"
        )


def _to_array(rows: Mapping[str, Any], name: str) -> pa.Array:
    values = rows[name]
    try:
        if isinstance(values, np.ndarray) and values.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ValueError(f"input: column {name}: {in_one_line(error)}") from None
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


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
