"""List the current version of a Delta table."""

import os
from typing import Any
from urllib.parse import parse_qs, unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from components.common.artifacts.snapshot import LogFile, TableVersion
from components.common.storage.identity import TABLE
from components.common.storage.log_files import ListedFile
from components.common.storage.tables.listing import (
    DAY_COLUMN,
    HOUR_COLUMN,
    TableListing,
    constant,
    log_order,
    parse_day,
    parse_hour,
    partition_name,
    refuse_partitioning,
)
from recap_model.config.reading.errors import in_one_line

_DELETION_VECTORS = "deletionVectors"
# Reader features that do not change how the current data files are read, or that `TableFile` honours (types widened).
_SUPPORTED = {
    *("timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "typeWidening", "typeWidening-preview"),
    *("columnMapping", _DELETION_VECTORS),  # checked below
}


def list_delta(address: str) -> TableListing:
    """The current version; arguments and errors as of `list_table`."""
    try:
        table = DeltaTable(address.partition("?")[0], storage_options=_storage_options(address))
        return _list(address, table)
    except TableNotFoundError:
        raise FileNotFoundError(f"{address}: no such Delta table") from None
    except (DeltaError, OSError) as error:
        raise ConnectionError(
            f"{address}: the Delta table cannot be read ({in_one_line(error)}); check its address, the "
            "credentials and the network"
        ) from None


def _list(address: str, table: DeltaTable) -> TableListing:
    metadata, features = table.metadata(), set(table.protocol().reader_features or ())
    mapping = metadata.configuration.get("delta.columnMapping.mode", "none")
    unknown = sorted(features - _SUPPORTED) + ([f"columnMapping ({mapping})"] if mapping != "none" else [])
    if unknown:
        raise ValueError(
            f"{address}: the Delta table uses {', '.join(unknown)}, which is not supported; give a table without it"
        )
    schema = pa.schema(table.schema())
    day_column = _day_column(address, schema, metadata.partition_columns)
    version = TableVersion.of("delta", address, str(table.version()), schema)
    files, without_day = [], 0
    for action in pa.table(table.get_add_actions(flatten=False)).to_pylist():
        path, values = unquote(action["path"]), action.get("partition") or {}
        if "://" in path or path.startswith("/"):
            raise ValueError(
                f"{address}: has a file outside of its folder ({path}), as a clone does; copy the table"
            )
        if values.get(day_column) is None:
            without_day += 1
            continue
        day = parse_day(values[day_column], f"{address}: column {day_column}")
        hour = None
        if HOUR_COLUMN in metadata.partition_columns:
            hour = parse_hour(values[HOUR_COLUMN], f"{address}: column {HOUR_COLUMN}")
        file = LogFile(
            path=path,
            bytes=action["size_bytes"],
            identity=f"{TABLE}{metadata.id}",
            row_count=action["num_records"],
            constants={name: constant(value, f"{address}: column {name}") for name, value in values.items()},
        )
        files.append(ListedFile(partition_name(day, hour), file))
    refused = {}
    if _DELETION_VECTORS in features:
        refused = _deletion_vectors(table, address, [listed.file.path for listed in files])
    root = address if "://" in address else os.path.abspath(address)
    return TableListing(root, version, sorted(files, key=log_order), refused, without_day)


def _day_column(address: str, schema: pa.Schema, partition_columns: list[str]) -> str:
    dates = [name for name in partition_columns if pa.types.is_date(schema.field(name).type)]
    if DAY_COLUMN in partition_columns:
        return DAY_COLUMN
    if len(dates) != 1:
        raise refuse_partitioning(address, ", ".join(partition_columns))
    return dates[0]


def _deletion_vectors(table: DeltaTable, address: str, paths: list[str]) -> dict[str, str]:
    deleted = [
        uri
        for batch in table.deletion_vectors()
        for uri in pa.record_batch(batch).column("filepath").to_pylist()
    ]
    return {
        path: f"{address}: {path} has deleted rows in a deletion vector, which is not supported; run "
        "REORG TABLE … APPLY (PURGE) on the table, and run again"
        for path in paths
        if any(unquote(uri).endswith(f"/{path}") or uri.endswith(f"/{path}") for uri in deleted)
    }


def _storage_options(address: str) -> dict[str, str]:
    """What Arrow reads from an S3 address's parameters and from AWS_ENDPOINT_URL, in the names of deltalake."""
    given: dict[str, Any] = parse_qs(address.partition("?")[2])
    options = {"AWS_REGION": given["region"][0]} if "region" in given else {}
    for endpoint in given.get("endpoint_override", []):
        scheme = given.get("scheme", ["https"])[0]
        options["AWS_ENDPOINT_URL"] = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
    if (options.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL", "")).startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    return options
