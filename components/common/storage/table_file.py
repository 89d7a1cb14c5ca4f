"""A table's data file, read as the columns of the table's version: renamed, widened, added and partition columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow.parquet import FileMetaData, ParquetFile

from components.common.artifacts.snapshot import LogFile, TableVersion

_FIELD_ID = b"PARQUET:field_id"
NAMES = b"recap.names"
"""Key in a field's metadata: its names in files without field ids, as JSON (Iceberg's name mapping)."""


class TableFile:
    """The part of `ParquetFile` that readers of a log use, with the table's columns.

    A column is found by its field id where the file has ids, else by its name. One that the file does not have is the
    partition's value, or null. A number of a narrower type than the table's is widened.
    """

    def __init__(self, parquet: ParquetFile, file: LogFile, table: TableVersion) -> None:
        self._parquet = parquet
        self._constants = file.constants
        self._sources = _sources(parquet.schema_arrow, table, file.path)
        fields = []
        for field in table.schema_arrow:
            source = self._sources.get(field.name)
            kind = (
                field.type
                if source is None
                else _type_read(parquet.schema_arrow.field(source).type, field.type)
            )
            fields.append(pa.field(field.name, kind))
        self.schema_arrow = pa.schema(fields)

    @property
    def metadata(self) -> FileMetaData:
        return self._parquet.metadata

    @property
    def num_row_groups(self) -> int:
        return int(self._parquet.num_row_groups)

    def iter_batches(
        self,
        batch_size: int,
        row_groups: Sequence[int] | None = None,
        columns: Sequence[str] | None = None,
        use_threads: bool = True,
    ) -> Iterator[pa.RecordBatch]:
        """As `ParquetFile.iter_batches`; ``columns`` are the table's, in this order."""
        names = self.schema_arrow.names if columns is None else list(columns)
        schema = pa.schema([self.schema_arrow.field(name) for name in names])
        read = list(dict.fromkeys(self._sources[name] for name in names if name in self._sources))
        options: Mapping[str, Any] = {"row_groups": row_groups, "columns": read, "use_threads": use_threads}
        for batch in self._parquet.iter_batches(batch_size, **options):
            arrays = [self._column(batch, field) for field in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _column(self, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
        if field.name in self._sources:
            array = batch.column(self._sources[field.name])
            return array if array.type.equals(field.type) else array.cast(field.type)
        text = pa.scalar(self._constants.get(field.name), pa.string())
        return pa.repeat(text.cast(field.type), batch.num_rows)

    def close(self) -> None:
        self._parquet.close()

    def __enter__(self) -> "TableFile":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _sources(schema: pa.Schema, table: TableVersion, path: str) -> dict[str, str]:
    """The file's column for each of the table's columns that it has."""
    if table.format == "delta":
        return {name: name for name in table.schema_arrow.names if name in schema.names}
    by_id = {field.metadata[_FIELD_ID]: field.name for field in schema if _FIELD_ID in (field.metadata or {})}
    sources = {}
    for field in table.schema_arrow:
        names = json.loads(field.metadata.get(NAMES, b"[]"))
        if by_id:
            if (name := by_id.get(field.metadata[_FIELD_ID])) is not None:
                sources[field.name] = name
        elif present := [name for name in names if name in schema.names]:
            sources[field.name] = present[0]
    if not sources:
        raise ValueError(
            f"{path}: its columns have no field ids, and the table has no schema.name-mapping.default for them; set "
            "it, or rewrite the file"
        )
    return sources


def _type_read(in_file: pa.DataType, in_table: pa.DataType) -> pa.DataType:
    """The table's type for numbers, which may have been widened; else the file's, of which a role accepts several."""
    is_number = pa.types.is_primitive(in_file) and not pa.types.is_temporal(in_file)
    widens = is_number or pa.types.is_decimal(in_file)
    return in_table if widens and not in_table.equals(in_file) else in_file
