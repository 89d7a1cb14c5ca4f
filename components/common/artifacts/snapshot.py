"""The snapshot of a run: the inputs that resolve froze, so that no later step reads "the latest".

A folder with ``_manifest.json`` (this), ``config.json`` (the effective config) and, if they exist, the profile that
the champion was registered with (``baseline.parquet``) and custom expectations (``expectations.py``).
"""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.ipc
from pydantic import Field, NonNegativeInt, field_validator

from recap_model.config import ConfigError, RecapConfig, StrictModel, parse_config
from recap_model.config.fields.uris import RelativePath
from recap_model.config.reading.errors import first_reason, in_one_line
from recap_model.json_files import read_model

MANIFEST_NAME = "_manifest.json"
CONFIG_NAME = "config.json"
BASELINE_NAME = "baseline.parquet"
EXPECTATIONS_NAME = "expectations.py"


class LogFile(StrictModel):
    """A Parquet file of the log, by its path under the data root.

    Attributes:
        identity: its store's version of it (``etag:``, ``generation:``, ``version:``), or its modification time
            (``mtime:``); ``table:`` for a table's file, which is never rewritten; empty without any.
        row_count: None until validate has read the footer.
        sha256: of the content, once validate has read it; empty if the store keeps versions.
        constants: of a table's file, the values of partition columns, which it may not hold.
    """

    path: RelativePath
    bytes: NonNegativeInt
    identity: str = ""
    row_count: NonNegativeInt | None = None
    sha256: str = ""
    constants: dict[str, str | None] = {}

    @property
    def rows(self) -> int:
        """Raises ValueError before validate has counted them."""
        if self.row_count is None:
            raise ValueError(f"{self.path}: its rows were not counted; run validate again")
        return self.row_count


class Partition(StrictModel):
    """A day or an hour of the log: ``date=YYYY-MM-DD`` or ``date=YYYY-MM-DD/hour=HH``."""

    name: str
    files: list[LogFile]


class Champion(StrictModel):
    """The model version that had the alias ``champion`` when the run began, or had it earlier."""

    version: str
    run_id: str


class Baseline(StrictModel):
    """The profile that the champion was registered with, copied into the snapshot; or why it is missing."""

    sha256: str | None = None
    missing: str = ""


class TableVersion(StrictModel):
    """The version of a table that resolve froze.

    Attributes:
        address: as it was given.
        version: Delta's version number, or Iceberg's snapshot id.
        columns: its Arrow schema in IPC format, as base64.
    """

    format: Literal["delta", "iceberg"]
    address: str
    version: str
    columns: str

    @classmethod
    def of(
        cls, kind: Literal["delta", "iceberg"], address: str, version: str, schema: pa.Schema
    ) -> "TableVersion":
        """With a schema."""
        columns = base64.b64encode(schema.serialize()).decode()
        return cls(format=kind, address=address, version=version, columns=columns)

    @property
    def schema_arrow(self) -> pa.Schema:
        return _read_schema(self.columns)

    @field_validator("columns")
    @classmethod
    def _is_schema(cls, columns: str) -> str:
        _read_schema(columns)
        return columns


def _read_schema(columns: str) -> pa.Schema:
    """Raises ValueError for what is not a schema."""
    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(columns, validate=True)))
    except (OSError, ValueError) as error:
        raise ValueError(f"not an Arrow schema in base64 ({in_one_line(error)})") from None


class ServingLog(StrictModel):
    """Files with the features as served, by their path under ``root``; or the reason that they are missing."""

    root: str
    table: TableVersion | None = None
    files: list[LogFile] = []
    missing: str = ""


class Snapshot(StrictModel):
    """Files, window and champion of one run."""

    format: Literal["recap-snapshot/2"] = "recap-snapshot/2"
    run_id: str
    data_root: str
    table: TableVersion | None = None
    first_day: date
    last_day: date
    partitions: list[Partition]
    lookback: list[Partition] = Field(
        [],
        exclude_if=lambda lookback: not lookback,
        description="days before the window, whose rows are only events of features.derived_sequences",
    )
    missing_days: list[date] = []
    champion: Champion | None = None
    anchor: Champion | None = Field(
        None,
        exclude_if=lambda anchor: anchor is None,
        description="the earlier champion that the gate compares with too, or the champion itself",
    )
    baseline: Baseline | None = None
    serving: ServingLog | None = None
    expectations_sha256: str | None = None
    tracking_uri: str
    config_digest: str
    source_revision: str = "unknown"
    purpose: Literal["retrain", "watch"] = Field(
        "retrain",
        exclude_if=lambda purpose: purpose == "retrain",
        description="of a watched day every row is a test row, under the champion's config",
    )

    @property
    def files(self) -> list[LogFile]:
        return [file for part in self.partitions for file in part.files]

    @property
    def before_window(self) -> "Snapshot":
        """The snapshot of the days before the window."""
        return self.model_copy(update={"partitions": self.lookback, "lookback": []})

    @property
    def digest(self) -> str:
        """Digest of what resolve froze: the window, every file's size and identity. It binds the steps of a run."""
        files = [*self.files, *self.before_window.files]
        return self._digest([[file.path, file.bytes, file.identity] for file in files])

    @property
    def data_digest(self) -> str:
        """Digest of the data, for lineage: the window and every file's content, independent of their location.

        A file that its store vouches for is represented by the store's version of it.
        """
        files = [*self.files, *self.before_window.files]
        return self._digest([[file.path, file.sha256 or file.identity] for file in files])

    def _digest(self, files: list[list[Any]]) -> str:
        content = {"window": [self.first_day.isoformat(), self.last_day.isoformat()], "files": files}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def with_files(self, change: Callable[[LogFile], LogFile]) -> "Snapshot":
        """The snapshot with each file of the log changed."""
        partitions = [
            part.model_copy(update={"files": [change(file) for file in part.files]})
            for part in self.partitions
        ]
        return self.model_copy(update={"partitions": partitions})

    @classmethod
    def read(cls, folder: str | Path) -> tuple["Snapshot", RecapConfig]:
        """Read a snapshot and its config. Raises FileNotFoundError or ValueError, each naming the file."""
        folder = Path(folder)
        snapshot = read_model(folder / MANIFEST_NAME, cls, "resolve")
        config_path = folder / CONFIG_NAME
        if not config_path.is_file():
            raise FileNotFoundError(f"{config_path}: not there; run resolve again")
        try:
            config = parse_config(json.loads(config_path.read_text()), source=str(config_path))
        except ConfigError:
            raise
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{config_path}: not JSON: {first_reason(error)}; run resolve again") from None
        if config_digest(config) != snapshot.config_digest:
            raise ValueError(f"{config_path}: changed since resolve wrote it; run resolve again")
        return snapshot, config


def config_digest(config: RecapConfig) -> str:
    """Digest of the effective config, without the engine and the watch, on which no output of a run depends."""
    return hashlib.sha256(
        config.model_dump_json(exclude={"data": {"engine"}, "watch": True}).encode()
    ).hexdigest()
