"""Reading a sample log back as columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.common.runtime.atomic_output import MARK_NAME
from pipeline.simulator.labels import TASKS


def read(root: Path) -> pa.Table:
    """All days of a log, or of its truth, in their order."""
    return pa.concat_tables(read_days(root))


def read_days(root: Path) -> list[pa.Table]:
    """A table for each day of a log, or of its truth."""
    days = sorted(root.glob("date=*"))
    return [
        pa.concat_tables([pq.read_table(file, partitioning=None) for file in sorted(day.glob("*.parquet"))])
        for day in days
    ]


def labels(log: pa.Table) -> dict[str, Any]:
    """Each task's labels as float64 (rows,)."""
    return {task: log[task].to_numpy().astype(float) for task in TASKS}


def vectors(log: pa.Table, column: str) -> Any:
    """An embedding column as (rows, width)."""
    lists = log[column].combine_chunks()
    return np.asarray(lists.values).reshape(len(log), -1)


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of every file under a folder, by its relative path; marks of outputs are left out."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name != MARK_NAME]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}
