"""Small Delta and Iceberg tables, written by their own libraries."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog import load_catalog
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestWriterV2,
)
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

from components.common.artifacts.snapshot import Partition, Snapshot
from components.resolve.files import find_files
from recap_model.config import RecapConfig


def with_date(rows: pa.Table, day: date) -> pa.Table:
    return rows.append_column("date", pa.array([day] * len(rows), pa.date32()))


class Delta:
    """A Delta table partitioned by ``date``."""

    def __init__(self, folder: Path, partition_by: tuple[str, ...] = ("date",)) -> None:
        self.address, self._partition_by = str(folder / "delta"), list(partition_by)

    def append(self, rows: pa.Table) -> None:
        write_deltalake(
            self.address, rows, partition_by=self._partition_by, mode="append", schema_mode="merge"
        )

    def delete(self, predicate: str) -> None:
        DeltaTable(self.address).delete(predicate)

    def read(self) -> pa.Table:
        return DeltaTable(self.address).to_pyarrow_table()

    def remove_old_files(self) -> None:
        DeltaTable(self.address).vacuum(0, dry_run=False, enforce_retention_duration=False)


class Iceberg:
    """An Iceberg table, partitioned by ``date``, in a SQL catalog."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address, self.folder = "iceberg://prod/feed.log", folder
        (folder / "warehouse").mkdir()
        properties = {
            "type": "sql",
            "uri": f"sqlite:///{folder}/catalog.db",
            "warehouse": f"file://{folder}/warehouse",
        }
        for name, value in properties.items():
            monkeypatch.setenv(f"PYICEBERG_CATALOG__PROD__{name.upper()}", value)
        self.catalog = load_catalog("prod", **properties)
        self.catalog.create_namespace("feed")

    @property
    def table(self) -> Table:
        return self.catalog.load_table("feed.log")

    def append(self, rows: pa.Table) -> None:
        if not self.catalog.table_exists("feed.log"):
            table = self.catalog.create_table("feed.log", schema=rows.schema)
            with table.update_spec() as update:
                update.add_field("date", IdentityTransform(), "date")
        self.table.append(rows)

    def delete(self, predicate: str) -> None:
        self.table.delete(predicate)

    def read(self) -> pa.Table:
        return self.table.scan().to_arrow()

    def delete_on_read(self, content: DataFileContent, monkeypatch: pytest.MonkeyPatch) -> None:
        """Delete a row merge-on-read, as Spark (by position) and Flink (by equality) do; pyiceberg rewrites files."""
        (task, *_) = self.table.scan().plan_files()
        path = f"{self.folder}/deletes.parquet"
        pq.write_table(pa.table({"file_path": [task.file.file_path], "pos": pa.array([0], pa.int64())}), path)
        deletes = DataFile.from_args(
            content=content,
            file_path=f"file://{path}",
            file_format=FileFormat.PARQUET,
            partition=task.file.partition,
            record_count=1,
            file_size_in_bytes=Path(path).stat().st_size,
        )
        deletes.spec_id = task.file.spec_id
        metadata = ManifestWriterV2._meta.fget
        with monkeypatch.context() as patch:
            patch.setattr(ManifestWriterV2, "content", lambda self: ManifestContent.DELETES)
            patch.setattr(
                ManifestWriterV2, "_meta", property(lambda self: {**metadata(self), "content": "deletes"})
            )
            with self.table.transaction() as change, change.update_snapshot().fast_append() as append:
                append.append_data_file(deletes)

    def remove_old_files(self) -> None:
        """What expiring snapshots and removing orphan files does."""
        current = {task.file.file_path.removeprefix("file://") for task in self.table.scan().plan_files()}
        for path in (self.folder / "warehouse").rglob("*.parquet"):
            if str(path) not in current:
                path.unlink()


def freeze(address: str, config: RecapConfig, **window: Any) -> Snapshot:
    """The snapshot of a table's window, without a registry."""
    options = {"end_date": "", "days": 0, "scheduled": "", **window}
    chosen = find_files(config, address, **options)
    partitions: dict[str, list] = {}
    for listed in chosen.files:
        partitions.setdefault(listed.partition, []).append(listed.file)
    return Snapshot(
        run_id="r",
        data_root=chosen.source.data_root,
        table=chosen.source.table,
        first_day=chosen.window.first,
        last_day=chosen.window.last,
        partitions=[Partition(name=name, files=files) for name, files in partitions.items()],
        tracking_uri="sqlite:///unused.db",
        config_digest="",
    )
