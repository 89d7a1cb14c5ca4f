"""Read delimited files and write logs atomically, for all importers."""

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from components.common.runtime.atomic_output import atomic_directory
from recap_model.config.reading.errors import in_one_line

GZIP_MAGIC = b"\x1f\x8b"
_MAX_BYTES = 1 << 29  # decompressed; larger than any data set


@dataclass(frozen=True)
class ImportReport:
    """What was written."""

    rows: int
    first_day: date
    last_day: date


def find_file(source: Path, name: str) -> Path:
    """``source`` itself, or the file ``name`` in it. Raises FileNotFoundError if there is neither."""
    path = source / name if source.is_dir() else source
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; give the data set's {name}, or the folder that holds it"
        )
    return path


def read_unpacked(path: Path) -> bytes:
    """Read a file, decompressed if it is gzip.

    Raises ValueError if it cannot be decompressed, or exceeds the size of any data set (a gzip bomb).
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be unpacked ({error}); give the file as it was published") from None
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{path}: over {_MAX_BYTES >> 20} MiB; give the file as it was published")
    return content


def parse_delimited(
    path: Path, content: bytes, types: dict[str, pa.DataType], delimiter: str, header: bool
) -> pa.Table:
    """Parse the content of a file that has just these columns. Raises ValueError with the row that does not parse."""
    read = csv.ReadOptions(column_names=None if header else list(types), use_threads=False)
    parse = csv.ParseOptions(delimiter=delimiter)
    convert = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    try:
        table = csv.read_csv(
            pa.BufferReader(content), read_options=read, parse_options=parse, convert_options=convert
        )
        names = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = in_one_line(error)
        raise ValueError(f"{path}: {reason}; give the file as it was published") from None
    missing = [name for name in types if name not in names]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}; give the file as it was published")
    if not table.num_rows:
        raise ValueError(f"{path}: no rows")
    return table


def require_values(path: Path, table: pa.Table, column: str, allowed: Sequence[object]) -> None:
    """Raise ValueError naming the first line of the file whose value is not allowed."""
    for number, value in enumerate(table[column].to_pylist()):
        if value not in allowed:
            options = ", ".join(map(str, allowed))
            raise ValueError(f"{path}: row {number + 1}: {column} is {value!r}; allowed are {options}")


def require_range(path: Path, table: pa.Table, column: str, lowest: int, highest: int) -> None:
    """Raise ValueError naming the first line of the file whose value is outside the range."""
    values = table[column].to_numpy()
    outside = np.flatnonzero((values < lowest) | (values > highest))
    if len(outside):
        row = outside[0]
        raise ValueError(
            f"{path}: row {row + 1}: {column} is {values[row]}; allowed are {lowest} to {highest}; give the file "
            "as it was published"
        )


def write_log(out: Path, days: dict[date, pa.Table], extras: dict[str, str] | None = None) -> ImportReport:
    """Write one partition per day, and additional files.

    Raises FileExistsError if ``out`` holds anything that Recap did not write.
    """
    with atomic_directory(out) as folder:
        for day, rows in days.items():
            partition = folder / f"date={day.isoformat()}"
            partition.mkdir()
            pq.write_table(rows, partition / "part-00000.parquet", compression="zstd")
        for name, content in (extras or {}).items():
            (folder / name).write_text(content)
    return ImportReport(sum(len(rows) for rows in days.values()), min(days), max(days))
