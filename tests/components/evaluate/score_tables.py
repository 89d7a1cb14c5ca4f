"""Stored scores of the tiny log, some with other values."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.common.artifacts.score_table import ScoreTable, read_scores
from recap_model.config import RecapConfig
from tests.tiny import tiny_config

SLICES = [{"name": "topic_1", "column": "topic", "value": 1}]


SLICED = tiny_config(
    evaluation={"slices": SLICES, "gate": {"min_rows": 10, "min_positives": 5, "min_slice_rows": 5}}
)


def changed_scores(table: ScoreTable, config: RecapConfig, **columns: np.ndarray) -> ScoreTable:
    """The table with other values in some columns; names are given with ``__`` for the slash."""
    content = pq.read_table(table.path)
    for name, values in columns.items():
        place = content.column_names.index(name.replace("__", "/"))
        content = content.set_column(place, content.column_names[place], pa.array(values))
    pq.write_table(content, table.path)
    return read_scores(table.path, config)
