"""A bounded sample of the rows of all days of a log."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile

from components.common.storage.log_files import ListedFile
from components.common.storage.parquet import open_log_file
from components.common.storage.table_file import TableFile
from components.resolve.log_source import LogSource, open_log
from components.resolve.window import Window
from recap_model.config.reading.errors import in_one_line
from recap_model.data.log.columns import decoded_rows

MOST_DAYS = 14  # maximum days of a drafted config
_ROWS, _VALUES = 100_000, 50_000_000  # maximum size of the sample
_SPREAD = 4  # files of a day and row groups of a file that rows are taken of, if these have enough


@dataclass(frozen=True)
class LogSample:
    """Rows of the days back to the first gap, at most 14, about as many of each day as its size says.

    Attributes:
        by_day: rows of each day, newest first; estimated from file sizes where not all files were opened.
        day: (rows,) how many days before the newest each row is.
        schemas: columns of each file that was opened, by its path.
    """

    rows: pa.Table
    by_day: list[int]
    day: NDArray[np.int64]
    schemas: Mapping[str, pa.Schema] = field(default_factory=dict)

    @property
    def days(self) -> int:
        """Number of consecutive partitions up to the newest."""
        return len(self.by_day)

    @property
    def fraction(self) -> float:
        """Rows of the sample over those of the days."""
        return min(1.0, len(self.rows) / max(sum(self.by_day), 1))


def read_log(data: str) -> LogSample:
    """Sample the newest days that have files. Raises what `open_log` and `open_log_file` do."""
    source = open_log(data)
    days = source.days
    days.check_has_files()
    newest = next(day for day in reversed(list(days)) if days[day])
    back = [newest - timedelta(days=offset) for offset in range(MOST_DAYS)]
    known = list(takewhile(lambda day: days.get(day), back))
    days.check_stray_days(Window(known[-1], newest), is_newest=True)
    reader = _Reader(source, sum(listed.file.bytes for day in known for listed in days[day]))
    by_day = [reader.read_day(number, days[day]) for number, day in enumerate(known)]
    if not by_day[0]:
        raise ValueError(f"{data}: date={newest} has no rows; write some")
    day = np.repeat(np.array(reader.days, dtype=np.int64), [len(batch) for batch in reader.batches])
    return LogSample(_concat_batches(reader.batches), [max(1, rows) for rows in by_day], day, reader.schemas)


@dataclass
class _Reader:
    """Reads rows of files that are open one at a time."""

    source: LogSource
    total_bytes: int
    batches: list[pa.RecordBatch] = field(default_factory=list)
    days: list[int] = field(default_factory=list)
    schemas: dict[str, pa.Schema] = field(default_factory=dict)

    def read_day(self, day: int, files: list[ListedFile]) -> int:
        """Sample files of a day, from its first to its last; returns its rows, estimated from those opened.

        Raises ValueError for a file that cannot be read.
        """
        day_bytes = sum(listed.file.bytes for listed in files)
        opened_rows = opened_bytes = 0
        left: int | None = None
        for number, place in enumerate(_spread(len(files))):
            if left is not None and left <= 0:
                break
            listed = files[place]
            with open_log_file(
                self.source.filesystem, self.source.root, listed.file, self.source.table
            ) as parquet:
                schema = parquet.schema_arrow
                self.schemas[listed.file.path] = schema
                if left is None:
                    budget = min(_ROWS, _VALUES // max(1, len(schema)))
                    left = -(-budget * day_bytes // max(1, self.total_bytes))
                opened_rows += parquet.metadata.num_rows
                opened_bytes += listed.file.bytes
                try:
                    batches = list(_sample_file(parquet, _portion(left, number, len(files))))
                except (pa.ArrowException, OSError) as error:
                    reason = in_one_line(error)
                    raise ValueError(
                        f"{listed.file.path}: cannot be read ({reason}); write the file again"
                    ) from None
                self.batches += batches
                self.days += [day] * len(batches)
                left -= sum(map(len, batches))
        return round(opened_rows * day_bytes / max(1, opened_bytes))


def _sample_file(parquet: ParquetFile | TableFile, rows: int) -> Iterator[pa.RecordBatch]:
    """The first rows of row groups from the first to the last, of the columns that are in the file once."""
    names = [name for name, count in Counter(parquet.schema_arrow.names).items() if count == 1]
    for number, group in enumerate(_spread(parquet.num_row_groups)):
        wanted = min(rows, _portion(rows, number, parquet.num_row_groups))
        for batch in parquet.iter_batches(max(1, wanted), [group], columns=names):
            taken = decoded_rows(batch.slice(0, wanted))
            if len(taken):
                yield taken
            wanted -= len(taken)
            rows -= len(taken)
            if wanted <= 0:
                break


def _spread(count: int) -> list[int]:
    """Numbers of ``count``: a few from the first to the last, evenly apart, then the others."""
    first = sorted({round(number) for number in np.linspace(0, count - 1, min(count, _SPREAD))})
    return first + [number for number in range(count) if number not in first]


def _portion(left: int, number: int, count: int) -> int:
    """Rows to take of item ``number`` of `_spread`'s order."""
    return -(-left // max(1, min(count, _SPREAD) - number))


def _concat_batches(batches: list[pa.RecordBatch]) -> pa.Table:
    """The batches as one table, without columns that a batch lacks or whose types do not go together."""
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for name, kind in zip(table.schema.names, table.schema.types, strict=True):
            kinds.setdefault(name, set()).add(kind)
    everywhere = set.intersection(*(set(table.schema.names) for table in tables))
    names = [name for name in tables[0].schema.names if name in everywhere and _go_together(kinds[name])]
    selected = [table.select(names) for table in tables]
    return pa.concat_tables(selected, promote_options="permissive")


def _go_together(kinds: set[pa.DataType]) -> bool:
    try:
        pa.unify_schemas([pa.schema([("column", kind)]) for kind in kinds], promote_options="permissive")
    except pa.ArrowException:
        return False
    return True
