"""The log of what was served, made from a training log."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.components.validate.broken import Change


def serve(log: Path, out: Path, *changes: Change) -> Path:
    """The log's features as another system wrote them."""
    for path in sorted(log.rglob("*.parquet")):
        table = pq.read_table(path, partitioning=None).drop_columns(["click", "buy", "seen_ms"])
        for change in changes:
            table = change(table)
        (out / path.parent.name).mkdir(parents=True)
        pq.write_table(
            table.take(pa.array(range(0, len(table), 2))), out / path.parent.name / "served.parquet"
        )
    return out
