"""A tiny log with something wrong in it."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.common.artifacts.snapshot import Snapshot
from components.validate.result import ValidationResult
from components.validate.validate import PROFILE_NAME, ValidationFailed, validate_snapshot
from recap_model.config import RecapConfig
from tests.components.snapshots import snapshot_of
from tests.tiny import tiny_config, write_tiny_log

Change = Callable[[pa.Table], pa.Table]
BROKEN = "date=2026-03-03/part-00000.parquet"


def replaced(column: str, values: Callable[[pa.ChunkedArray], object]) -> Change:
    """A change of one column."""

    def change(table: pa.Table) -> pa.Table:
        new = values(table.column(column))
        return table.set_column(table.schema.names.index(column), column, new)

    return change


def write_broken(root: Path, *changes: Change, everywhere: bool = False, rows: int = 200) -> Path:
    """A clean log, but for one file, or all."""
    write_tiny_log(root, rows=rows)
    for path in sorted(root.rglob("*.parquet")) if everywhere else [root / BROKEN]:
        table = pq.read_table(path, partitioning=None)
        for change in changes:
            table = change(table)
        pq.write_table(table, path, row_group_size=100)
    return root


def validate(
    folder: Path, root: Path, config: RecapConfig | None = None, profile: Path | None = None
) -> ValidationResult:
    """Validate a log against a champion's profile, if one is given.

    Outputs go to ``folder/validated`` and ``folder/docs.html``.
    """
    snapshot = snapshot_of(root, config or tiny_config(), folder / "snapshot", profile=profile)
    return validate_snapshot(snapshot, folder / "validated", folder / "docs.html")


def profile_of(folder: Path, root: Path, config: RecapConfig | None = None) -> Path:
    """The profile of a clean log, as a version is registered with it."""
    assert not validate(folder, root, config).failures("critical")
    return folder / "validated" / PROFILE_NAME


def lines_of(folder: Path, root: Path, config: RecapConfig | None = None) -> list[str]:
    """The lines that end the run; none if the log passes."""
    try:
        validate(folder, root, config)
    except ValidationFailed as error:
        return str(error).splitlines()
    return []


def snapshot_at(folder: Path) -> Snapshot:
    """The snapshot that `validate` wrote."""
    return Snapshot.read(folder / "snapshot")[0]
