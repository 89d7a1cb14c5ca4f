"""A snapshot of a small log, as resolve writes it, for tests of the later steps."""

import hashlib
import shutil
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq

from components.common.artifacts.snapshot import (
    BASELINE_NAME,
    CONFIG_NAME,
    MANIFEST_NAME,
    Baseline,
    Champion,
    LogFile,
    Partition,
    Snapshot,
    config_digest,
)
from recap_model.config import RecapConfig


def snapshot_of(
    root: Path,
    config: RecapConfig,
    folder: Path,
    *,
    champion: Champion | None = None,
    tracking_uri: str = "sqlite:///unused.db",
    run_id: str = "run-1",
    profile: Path | None = None,
) -> Path:
    """Write the snapshot of every partition under ``root`` into ``folder``; returns ``folder``.

    ``profile`` is that of the champion, which is version 7 if no other is given.

    A file that is no Parquet counts 0 rows, so that a later step can be shown it.
    """
    partitions = []
    for day in sorted(root.glob("date=*")):
        files = [_describe(root, path) for path in sorted(day.rglob("*.parquet"))]
        partitions.append(Partition(name=day.name, files=files))
    days = [date.fromisoformat(part.name.removeprefix("date=")) for part in partitions]
    baseline = None
    if profile is not None:
        champion = champion or Champion(version="7", run_id="")
        baseline = Baseline(sha256=hashlib.sha256(profile.read_bytes()).hexdigest())
    snapshot = Snapshot(
        run_id=run_id,
        data_root=str(root),
        first_day=min(days),
        last_day=max(days),
        partitions=partitions,
        champion=champion,
        baseline=baseline,
        tracking_uri=tracking_uri,
        config_digest=config_digest(config),
    )
    folder.mkdir(parents=True, exist_ok=True)
    if profile is not None:
        shutil.copyfile(profile, folder / BASELINE_NAME)
    (folder / CONFIG_NAME).write_text(config.model_dump_json())
    (folder / MANIFEST_NAME).write_text(snapshot.model_dump_json())
    return folder


def _describe(root: Path, path: Path) -> LogFile:
    try:
        rows = pq.read_metadata(path).num_rows
    except (OSError, ValueError):
        rows = 0
    return LogFile(
        path=str(path.relative_to(root)),
        bytes=path.stat().st_size,
        identity=f"mtime:{path.stat().st_mtime_ns}",
        row_count=rows,
    )
