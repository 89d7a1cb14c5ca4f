"""TFRecord files of tf.train.Example, gzip or not, as a log: a column for each feature.

The framing is read here to verify its checksums, which readers on PyPI skip.
https://www.tensorflow.org/tutorials/load_data/tfrecord (format), tensorflow/core/example/example.proto (message)
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from components.common.runtime.atomic_output import atomic_directory
from pipeline.importers.files import GZIP_MAGIC, ImportReport
from recap_model.config.reading.errors import in_one_line

_MASK = 0xA282EAD8
_CHUNK_BYTES = 1 << 24  # of records converted at once; as Python objects they take ten times as much
_MAX_RECORD_BYTES = 1 << 26  # a record is a row; the published ones have 30 kB
_RECORD_OVERHEAD = 64  # so that empty records count as well
_READ_BYTES = 1 << 20
_TYPES = {"int64_list": pa.int64(), "float_list": pa.float32(), "bytes_list": pa.binary()}


@dataclass
class _Column:
    """A feature over all records: its kind, and its minimum and maximum length where present."""

    kind: str
    least: int
    most: int

    @property
    def type(self) -> pa.DataType:
        inner = _TYPES[self.kind]
        if self.most <= 1:
            return inner
        return pa.list_(inner, self.most) if self.least == self.most else pa.list_(inner)


def import_tfrecord(source: Path, out: Path, *, time: str = "", day: date | None = None) -> ImportReport:
    """Write the records of a file, or of every file in a folder, as a log.

    Two passes, in memory that does not grow with the rows.

    A feature with one value is a scalar column, one whose lists all have one length a fixed-size list, others lists;
    what a record lacks is null.

    Args:
        time: the feature that holds the milliseconds since 1970-01-01 UTC by which rows fall on days.
        day: of all rows, if there is no such feature.

    Raises:
        FileNotFoundError: there is no file.
        FileExistsError: ``out`` holds something else.
        ValueError: a record is broken or has a feature of another kind; file and record, from 0, are named.
    """
    if bool(time) == (day is not None):
        raise ValueError(
            "give either the feature that holds a row's time (--time), or the day of all rows (--day)"
        )
    files = _files(source)
    columns: dict[str, _Column] = {}
    for file in files:
        for number, (record, _) in enumerate(_records(file)):
            _update_columns(columns, record, f"{file}: record {number}")
    if not columns:
        raise ValueError(f"{source}: no record with a feature")
    if time and (time not in columns or columns[time].type != pa.int64()):
        raise ValueError(f"{source}: feature {time} is no single int64, so rows have no time by it")
    schema = pa.schema([(name, column.type) for name, column in sorted(columns.items())])
    return _write(files, out, schema, time, day)


def _write(files: list[Path], out: Path, schema: pa.Schema, time: str, day: date | None) -> ImportReport:
    rows, writers = 0, dict[date, pq.ParquetWriter]()
    with atomic_directory(out) as folder, ExitStack() as stack:
        for file in files:
            for first, records in _chunks(file):
                by_day: dict[date, list[dict[str, Any]]] = {}
                for number, record in enumerate(records, start=first):
                    values = {name: _value(record, name, schema) for name in schema.names}
                    on = day or _record_day(values[time], f"{file}: record {number}", time)
                    by_day.setdefault(on, []).append(values)
                for on, values_of in by_day.items():
                    if on not in writers:
                        partition = folder / f"date={on.isoformat()}"
                        partition.mkdir()
                        path = partition / "part-00000.parquet"
                        writers[on] = stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
                    writers[on].write_table(pa.Table.from_pylist(values_of, schema=schema))
                rows += len(records)
        stack.close()
    return ImportReport(rows, min(writers), max(writers))


def _files(source: Path) -> list[Path]:
    files = sorted(path for path in source.iterdir() if path.is_file()) if source.is_dir() else [source]
    files = [path for path in files if not path.name.startswith(("_", "."))]
    if not files or not files[0].is_file():
        raise FileNotFoundError(f"{source}: no such file; give a TFRecord file, or a folder of them")
    return files


def _chunks(file: Path) -> Iterator[tuple[int, list[Any]]]:
    chunk: list[Any] = []
    first = held = 0
    for record, size in _records(file):
        chunk.append(record)
        held += size
        if held >= _CHUNK_BYTES:
            yield first, chunk
            first, held, chunk = first + len(chunk), 0, []
    if chunk:
        yield first, chunk


def _records(file: Path) -> Iterator[tuple[Any, int]]:
    """Yield each record's features by name, and its size in bytes."""
    try:
        from google.protobuf.message import DecodeError
        from tfrecord import example_pb2
    except ImportError:
        raise ValueError("reading TFRecord needs the extra tfrecord; pip install 'recap[tfrecord]'") from None
    with file.open("rb") as plain:
        packed = plain.read(2) == GZIP_MAGIC
    number = 0
    with gzip.open(file) if packed else file.open("rb") as stream:
        while True:
            where = f"{file}: record {number}"
            try:
                content = _next_record(stream, where)
                if content is None:
                    return
                features = example_pb2.Example.FromString(content).features.feature
            except (EOFError, gzip.BadGzipFile, zlib.error, DecodeError) as error:
                reason = in_one_line(error)
                raise ValueError(f"{where}: cannot be unpacked ({reason}); copy the file again") from None
            yield features, len(content) + _RECORD_OVERHEAD
            number += 1


def _next_record(stream: BinaryIO | gzip.GzipFile, where: str) -> bytes | None:
    """Read a record: 8 bytes of length, their checksum, the content, its checksum."""
    head = stream.read(12)
    if not head:
        return None
    if len(head) < 12:
        raise ValueError(f"{where}: cut off; copy the file again")
    _check(head[:8], head[8:], where)
    length = struct.unpack("<Q", head[:8])[0]
    if length > _MAX_RECORD_BYTES:
        raise ValueError(
            f"{where}: claims {length:,} bytes; a record of one row has at most {_MAX_RECORD_BYTES:,}"
        )
    content = _read(stream, length)
    checksum = stream.read(4)
    if len(checksum) < 4:
        raise ValueError(f"{where}: cut off; copy the file again")
    _check(content, checksum, where)
    return content


def _read(stream: BinaryIO | gzip.GzipFile, length: int) -> bytes:
    """Read up to ``length`` bytes, allocating memory only for bytes that exist, whatever a header claims."""
    parts = []
    while length and (part := stream.read(min(length, _READ_BYTES))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _check(content: bytes, checksum: bytes, where: str) -> None:
    import google_crc32c

    crc = google_crc32c.value(content)
    masked = (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF
    if struct.pack("<I", masked) != checksum:
        raise ValueError(f"{where}: its checksum is wrong, or this is no TFRecord file; copy the file again")


def _update_columns(columns: dict[str, _Column], record: Any, where: str) -> None:
    for name, feature in record.items():
        kind = feature.WhichOneof("kind")
        if kind is None:
            continue
        length = len(getattr(feature, kind).value)
        if length == 0:
            continue
        known = columns.setdefault(name, _Column(kind, length, length))
        if known.kind != kind:
            raise ValueError(f"{where}: feature {name} is a {kind}, in a record before a {known.kind}")
        known.least, known.most = min(known.least, length), max(known.most, length)


def _value(record: Any, name: str, schema: pa.Schema) -> Any:
    """A record's value of a column, or None."""
    if name not in record:
        return None
    kind = record[name].WhichOneof("kind")
    values = getattr(record[name], kind).value if kind else ()
    if not values:
        return None
    return list(values) if pa.types.is_nested(schema.field(name).type) else values[0]


def _record_day(time_ms: int | None, where: str, time: str) -> date:
    if time_ms is None:
        raise ValueError(f"{where}: has no {time}, so no day")
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).date()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{where}: {time} is {time_ms}, no time in milliseconds since 1970") from None
