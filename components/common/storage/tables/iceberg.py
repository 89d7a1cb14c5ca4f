"""List the current version of an Iceberg table, through its catalog."""

import json
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pyiceberg.exceptions
from pyiceberg.catalog import load_catalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table
from pyiceberg.transforms import DayTransform, HourTransform, IdentityTransform
from pyiceberg.types import DateType
from pyiceberg.utils.config import Config
from sqlalchemy.exc import SQLAlchemyError

from components.common.artifacts.snapshot import LogFile, TableVersion
from components.common.storage.identity import TABLE
from components.common.storage.log_files import ListedFile
from components.common.storage.table_file import NAMES
from components.common.storage.tables.listing import (
    DAY_COLUMN,
    HOUR_COLUMN,
    ICEBERG_SCHEME,
    TableListing,
    constant,
    log_order,
    parse_day,
    parse_hour,
    partition_name,
    refuse_partitioning,
)
from recap_model.config.reading.errors import in_one_line

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_THERE = (pyiceberg.exceptions.NoSuchTableError, pyiceberg.exceptions.NoSuchNamespaceError)
# pyiceberg's errors have no base class of their own.
_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    SQLAlchemyError,
    *(
        error
        for error in vars(pyiceberg.exceptions).values()
        if isinstance(error, type) and issubclass(error, Exception)
    ),
)


class _Key(NamedTuple):
    """Position of the partition fields that give a file's day, and perhaps its hour."""

    day: int
    hour: int | None


def list_iceberg(address: str) -> TableListing:
    """The current version; arguments and errors as of `list_table`."""
    catalog_name, _, identifier = address.removeprefix(ICEBERG_SCHEME).partition("/")
    if not catalog_name or "." not in identifier:
        raise ValueError(
            f"{address}: not an Iceberg table's address; write iceberg://CATALOG/NAMESPACE.TABLE"
        )
    with _errors_of(address, catalog_name):
        # load_catalog alone sees the environment as it was when pyiceberg was imported.
        settings = Config().get_catalog_config(catalog_name) or {}
        table = load_catalog(catalog_name, **settings).load_table(identifier)
    tasks = _plan(address, table)
    version = _version(address, table)
    root = _common_folder(table, [task.file for task in tasks])
    specs, schema = table.specs(), table.schema()
    keys: dict[int, _Key] = {}
    files, refused, without_day = [], {}, 0
    for task in tasks:
        spec = specs[task.file.spec_id]
        if spec.spec_id not in keys:
            keys[spec.spec_id] = _key(address, table, spec)
        partition = _partition(address, spec, keys[spec.spec_id], task.file)
        if partition is None:
            without_day += 1
            continue
        file = LogFile(
            path=task.file.file_path.removeprefix(root).lstrip("/"),
            bytes=task.file.file_size_in_bytes,
            identity=f"{TABLE}{table.metadata.table_uuid}",
            row_count=task.file.record_count,
            constants=_constants(spec, schema, task.file),
        )
        files.append(ListedFile(partition, file))
        if task.delete_files:
            refused[file.path] = (
                f"{address}: {file.path} has rows deleted by merge-on-read, which is not supported; compact the "
                "table (rewrite_data_files with delete-file-threshold 1, or copy-on-write), and run again"
            )
        elif task.file.file_format != FileFormat.PARQUET:
            refused[file.path] = (
                f"{address}: {file.path} is not Parquet; rewrite the table's files as Parquet"
            )
    return TableListing(root, version, sorted(files, key=log_order), refused, without_day)


@contextmanager
def _errors_of(address: str, catalog: str) -> Iterator[None]:
    try:
        yield
    except _NOT_THERE:
        raise FileNotFoundError(f"{address}: no such table in the catalog {catalog!r}") from None
    except ValueError as error:
        raise ValueError(
            f"{address}: the catalog {catalog!r} is not configured ({in_one_line(error)}); write it into "
            f".pyiceberg.yaml, or set PYICEBERG_CATALOG__{catalog.upper()}__URI"
        ) from None
    except _ERRORS as error:
        raise ConnectionError(
            f"{address}: the catalog {catalog!r} does not answer, or refuses ({in_one_line(error)}); check its "
            "address, the credentials and the network"
        ) from None


def _plan(address: str, table: Table) -> list[FileScanTask]:
    """The data files of the current version, each with its delete files."""
    try:
        return list(table.scan().plan_files())
    except (
        ValueError,
        NotImplementedError,
    ) as error:  # as of equality deletes, which pyiceberg does not read
        raise ValueError(
            f"{address}: its files cannot be listed ({in_one_line(error)}); compact the table "
            "(rewrite_data_files), and run again"
        ) from None
    except _ERRORS as error:
        raise ConnectionError(
            f"{address}: its metadata cannot be read ({in_one_line(error)}); if its files were removed, "
            "restore them; check the store's address, the credentials and the network"
        ) from None


def _version(address: str, table: Table) -> TableVersion:
    """The current snapshot, and the columns with their field ids and their names in files without ids."""
    snapshot, mapping = table.current_snapshot(), table.name_mapping()
    names = {} if mapping is None else {field.field_id: field.names for field in mapping}
    fields = []
    for field, arrow in zip(table.schema().fields, schema_to_pyarrow(table.schema()), strict=True):
        if field.initial_default is not None:
            raise ValueError(
                f"{address}: column {field.name} has a default for older rows, which is not supported; "
                "rewrite the files"
            )
        metadata = {"PARQUET:field_id": str(field.field_id), NAMES: json.dumps(names.get(field.field_id, []))}
        fields.append(pa.field(arrow.name, arrow.type, metadata=metadata))
    version = "none" if snapshot is None else str(snapshot.snapshot_id)
    return TableVersion.of("iceberg", address, version, pa.schema(fields))


def _common_folder(table: Table, files: list[DataFile]) -> str:
    """The table's location if all files are there, else the folder that they share."""
    location = table.location().rstrip("/")
    folders = [posixpath.dirname(file.file_path) for file in files]
    if all(folder.startswith(f"{location}/") for folder in folders):
        return location
    schemes = {folder.partition("://")[0] for folder in folders}
    if len(schemes) > 1:
        raise ValueError(
            f"{location}: the table's files are in several stores ({', '.join(sorted(schemes))})"
        )
    shared = os.path.commonpath([folder.partition("://")[2] for folder in folders])
    return f"{schemes.pop()}://{shared}"


def _key(address: str, table: Table, spec: PartitionSpec) -> _Key:
    schema = table.schema()

    def gives_day(field: PartitionField) -> bool:
        if isinstance(field.transform, DayTransform | HourTransform):
            return True
        is_date = isinstance(schema.find_type(field.source_id), DateType)
        return isinstance(field.transform, IdentityTransform) and (is_date or field.name == DAY_COLUMN)

    days = [number for number, field in enumerate(spec.fields) if gives_day(field)]
    named = [number for number in days if spec.fields[number].name == DAY_COLUMN]
    if not named and len(days) != 1:
        by = ", ".join(f"{field.transform}({field.name})" for field in spec.fields)
        if spec.spec_id != table.spec().spec_id:
            raise ValueError(
                f"{address}: has files from before its partitioning changed, which are not partitioned by day (but "
                f"by {by or 'nothing'}); rewrite them (rewrite_data_files with rewrite-all), and run again"
            )
        raise refuse_partitioning(address, by)
    hours = [
        number
        for number, field in enumerate(spec.fields)
        if field.name == HOUR_COLUMN and isinstance(field.transform, IdentityTransform)
    ]
    return _Key((named or days)[0], hours[0] if hours else None)


def _partition(address: str, spec: PartitionSpec, key: _Key, file: DataFile) -> str | None:
    """Name of a file's partition; None if its rows have no date."""
    field, value = spec.fields[key.day], file.partition[key.day]
    if value is None:
        return None
    where = f"{address}: partition field {field.name}"
    if isinstance(field.transform, HourTransform):
        time = _EPOCH + timedelta(hours=value)
        return partition_name(time.date(), time.hour)
    day = parse_day(_date(value) if isinstance(value, int) else value, where)
    if key.hour is None:
        return partition_name(day, None)
    return partition_name(
        day, parse_hour(file.partition[key.hour], f"{address}: partition field {HOUR_COLUMN}")
    )


def _date(days: int) -> date:
    return (_EPOCH + timedelta(days=days)).date()


def _constants(spec: PartitionSpec, schema: Schema, file: DataFile) -> dict[str, str | None]:
    """Values of the columns that partition a file, which a file that came from a Hive table does not hold."""
    constants = {}
    for number, field in enumerate(spec.fields):
        column = schema.find_column_name(field.source_id)
        if column is not None and isinstance(field.transform, IdentityTransform):
            value: Any = file.partition[number]
            if isinstance(schema.find_type(field.source_id), DateType) and isinstance(value, int):
                value = _date(value)
            constants[column] = constant(value, f"{file.file_path}: column {column}")
    return constants
