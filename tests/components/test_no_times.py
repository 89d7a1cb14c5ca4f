"""What logs write where there is no time: missing, and named, from the file's bytes to a derived column."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.storage.parquet import batches_of, open_parquet_at, open_root
from components.validate.validate import validate_snapshot
from recap_model.config import parse_config
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.record_batches import RecordBatches
from recap_model.data.log.columns import SENTINELS_IN_WORDS
from recap_model.data.log.feature_groups import read_groups
from tests.datasets import build_tiny
from tests.tiny import tiny_config, write_tiny_log

HOUR_MS = 3_600_000


def with_age() -> Any:
    """The tiny config with the hours from ``posted`` to the impression instead of ``age_hours``."""
    content = tiny_config().model_dump(exclude_none=True)
    derived = {"age": {"kind": "hours_between", "of": ["posted", "impressed_ms"]}}
    return parse_config(
        {**content, "features": content["features"] | {"continuous": ["age"], "derived": derived}}
    )


def write_log(root: Path, sentinel: Any, kind: pa.DataType, **options: Any) -> Path:
    """Posts of 48 hours before each impression, every third one without a time."""
    for path in write_tiny_log(root, rows=60).rglob("*.parquet"):
        rows = pq.read_table(path, partitioning=None)
        times = rows["impressed_ms"].to_numpy() - 48 * HOUR_MS
        moments: list[Any] = [datetime.fromtimestamp(time / 1000, UTC).replace(tzinfo=None) for time in times]
        values = times.tolist() if pa.types.is_integer(kind) else moments
        if pa.types.is_date(kind):
            values = [moment.date() for moment in moments]
        values[::3] = [sentinel] * 20
        pq.write_table(rows.append_column("posted", pa.array(values, kind)), path, **options)
    return root


@pytest.mark.parametrize(
    ("sentinel", "kind", "options"),
    [
        (datetime(9999, 12, 31), pa.timestamp("us"), {"use_deprecated_int96_timestamps": True}),
        (datetime(1, 1, 1), pa.timestamp("us"), {"use_deprecated_int96_timestamps": True}),
        (datetime(9999, 12, 31, 23, 59, 59), pa.timestamp("us", "America/New_York"), {}),
        (date(9999, 12, 31), pa.date32(), {}),
        (2**63 - 1, pa.int64(), {}),
        (-1, pa.int64(), {}),
    ],
)
def test_a_time_that_stands_for_none_is_missing_and_named(
    tmp_path: Path, sentinel: Any, kind: pa.DataType, options: dict[str, Any]
):
    log, config = write_log(tmp_path / "log", sentinel, kind, **options), with_age()
    sets = build_tiny(tmp_path / "sets", config, log)
    verdict = validate_snapshot(sets.snapshot, tmp_path / "validated", tmp_path / "data.html")
    assert [line for line in verdict.lines("warning") if "posted" in line] == [
        "timestamp_sentinels: column posted has 100 of 300 times that are read as missing in 2026-03-01 to "
        f"2026-03-05; a time is none of {SENTINELS_IN_WORDS}; write null where there is no time"
    ]
    manifest = DatasetManifest.read(sets.test)
    prepared = RecordBatches(manifest)[0].column("continuous").flatten().to_numpy()
    filesystem, root = open_root(str(max(log.iterdir())))
    (batch,) = batches_of(
        open_parquet_at(filesystem, root, "part-00000.parquet"), 100, config.features.columns()
    )
    scored = read_groups(batch, config.features, "rows")["continuous"][:, 0]
    slack = timedelta(days=1) / timedelta(hours=1) if pa.types.is_date(kind) else 1e-3
    for hours in (prepared, scored):
        assert np.isnan(hours[::3]).all()
        np.testing.assert_allclose(np.delete(hours, np.s_[::3]), 48.0, atol=slack)
