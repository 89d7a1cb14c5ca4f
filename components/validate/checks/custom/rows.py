"""The rows of the log in the columns of some custom expectations, and their check batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from components.common.storage.file_groups import FileGroup
from components.common.storage.parquet import batches_of, open_parquet
from components.validate.checks.custom.expectations import CustomExpectation, ExpectationSource
from components.validate.checks.great_expectations import Validator
from components.validate.checks.plain_columns import to_frame, to_plain_columns
from components.validate.profile.row_sample import concat_sample
from components.validate.profile.scan import Log

_MAX_ROWS, _MAX_VALUES = 1_000_000, 8_000_000


@dataclass(frozen=True)
class RowReader:
    """Reads columns of the log's files, but for the files with faults.

    Attributes:
        skipped: paths of files with faults, for which the run fails anyway.
        schema: plain columns of all files, which each table is converted to; as each file has them if None.
    """

    log: Log
    columns: list[str]
    skipped: frozenset[str]
    schema: pa.Schema | None = None

    def read_tables(self, files: FileGroup) -> Iterator[pa.Table]:
        """Tables of up to a million rows, fewer of many columns; memory is bounded by one, and by a row group."""
        max_rows = min(_MAX_ROWS, max(1, _MAX_VALUES // len(self.columns)))
        waiting: list[pa.Table] = []
        for _, file in files.files:
            if file.path in self.skipped or not file.rows:
                continue
            for batch in batches_of(open_parquet(self.log.snapshot, file), max_rows, self.columns):
                table = pa.Table.from_batches([batch]).select(self.columns).replace_schema_metadata()
                if waiting and sum(map(len, waiting)) + len(table) > max_rows:
                    yield self._join(waiting)
                    waiting = []
                waiting.append(table)
        if waiting:
            yield self._join(waiting)

    def read_batches(self, files: FileGroup) -> Iterator[pa.RecordBatch]:
        """The tables' record batches, all of one schema."""
        for table in self.read_tables(files):
            yield from table.combine_chunks().to_batches()

    def _join(self, tables: list[pa.Table]) -> pa.Table:
        joined = concat_sample(tables)
        assert joined is not None
        if self.schema is None:
            return to_plain_columns(joined)
        # As the ids of all files: integers in one file may be text in the log.
        unified = concat_sample([self.schema.empty_table(), joined])
        assert unified is not None
        return to_plain_columns(unified)


@dataclass
class RowCounts:
    """How many rows have a value that an expectation checks, and how many of them fail; or why it is unknown."""

    rows: int = 0
    checked: int = 0
    failing: int = 0
    error: str = ""

    def __add__(self, later: "RowCounts") -> "RowCounts":
        return RowCounts(
            self.rows + later.rows,
            self.checked + later.checked,
            self.failing + later.failing,
            self.error or later.error,
        )


@dataclass(frozen=True)
class RowCounter:
    """The kernel that counts the rows that fail row-wise expectations, as Great Expectations checks them in pandas.

    Attributes:
        numbers: which of the source's expectations.
    """

    source: ExpectationSource
    numbers: list[int]
    reader: RowReader

    @cached_property
    def _custom(self) -> list[CustomExpectation]:
        custom = self.source.build()
        return [custom[number] for number in self.numbers]

    @cached_property
    def _validator(self) -> Validator:
        return Validator()

    def __call__(self, files: FileGroup) -> list[RowCounts]:
        counts = [RowCounts() for _ in self.numbers]
        expectations = [item.expectation for item in self._custom]
        for table in self.reader.read_tables(files):
            results = self._validator.count(to_frame(table), len(table), expectations)
            counts = merge_counts(
                counts,
                [RowCounts(len(table), result.checked, result.failing, result.error) for result in results],
            )
        return counts


def merge_counts(first: list[RowCounts], later: list[RowCounts]) -> list[RowCounts]:
    """Add the counts of each expectation."""
    return [left + right for left, right in zip(first, later, strict=True)]
