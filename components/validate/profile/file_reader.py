"""Read one file into the profile, batch by batch, after its footer was compared with the config."""

from collections.abc import Iterator

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from components.common.artifacts.snapshot import LogFile, Partition, Snapshot
from components.common.storage.identity import FileChangedError
from components.common.storage.parquet import hash_content, open_parquet
from components.common.storage.rows_at_once import rows_at_once
from components.validate.profile.block_profile import BlockProfiler
from components.validate.profile.columns import Block, list_columns
from components.validate.profile.file_faults import FileFaults, FileRule
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.sketches.distinct_values import DistinctValues, select_smallest
from components.validate.profile.timestamps import Span
from recap_model.config import RecapConfig
from recap_model.config.reading.errors import in_one_line
from recap_model.data.log.column_roles import ID_ROLES, LogColumn, id_form
from recap_model.data.log.columns import decoded_rows, is_text
from recap_model.data.log.schema import log_columns


class FileReader:
    """Reads one file into the profile; what is wrong with the file is added to ``faults``."""

    def __init__(
        self,
        snapshot: Snapshot,
        config: RecapConfig,
        partition: Partition,
        file: LogFile,
        blocks: list[Block],
        faults: FileFaults,
    ) -> None:
        self._file, self._faults = file, faults
        self._row_group = 0
        self.sha256 = ""
        self._blocks: list[Block] = []
        self._parquet = self._open(snapshot)
        if self._parquet is not None:
            self._schema = self._parquet.schema_arrow
            self._blocks = self._select_readable(self._parquet, config, blocks)
            self._profiler = BlockProfiler(
                config, self._schema, Span.parse(partition.name), self._report_rows
            )
        self.is_complete = len(self._blocks) == len(blocks)

    def id_forms(self) -> dict[str, str]:
        """The form (text or integers) of each id column that has one; a column without a value has none."""
        forms = {
            name: id_form(self._schema.field(name).type)
            for block in self._blocks
            if block.role in ID_ROLES and not block.list_width
            for name in block.columns
        }
        return {name: form for name, form in forms.items() if form is not None}

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The readable blocks' columns, batch by batch; each batch lies in one row group."""
        if self._parquet is None or not self._blocks:
            return
        columns = list_columns(self._blocks)
        rows = rows_at_once(self._parquet, [one for block in self._blocks for one in block.members], rows)
        for row_group in range(self._parquet.num_row_groups):
            self._row_group = row_group
            try:
                batches = self._parquet.iter_batches(rows, row_groups=[row_group], columns=columns)
                yield from map(_check_utf8, map(decoded_rows, batches))
            except (OSError, pa.ArrowException) as error:
                reason = in_one_line(error)
                self._report_unreadable(
                    f"cannot be read in row group {row_group}: {reason}; write the file again"
                )
                return

    def measure_into(
        self, profile: PartitionProfile, distinct: DistinctValues, batch: pa.RecordBatch
    ) -> None:
        """Add a batch's rows to a partition's profile, block by block, and their ids to the distinct values."""
        for block in self._blocks:
            for key, labels, stats, histograms, hashes in self._profiler.profile(batch, block):
                profile.add(key, labels, stats, histograms)
                for label, values in zip(labels, hashes or (), strict=False):
                    distinct.add((key, label), select_smallest(values))

    def _open(self, snapshot: Snapshot) -> ParquetFile | None:
        try:
            self.sha256 = hash_content(snapshot, self._file)
            return open_parquet(snapshot, self._file)
        except FileChangedError:
            file = self._file.path
            advice = ("resolve froze another", "run the pipeline again")
            self._faults.add("file_unchanged", f"file {file}", "changed", *advice, file=file)
            return None
        except (OSError, ValueError) as error:
            reason = str(error).removeprefix(f"{self._file.path}: ")
            self._report_unreadable(f"cannot be read: {reason}")
            return None

    def _select_readable(self, parquet: ParquetFile, config: RecapConfig, blocks: list[Block]) -> list[Block]:
        """The blocks that the file has, in types that they may have; the others become faults."""
        file, rows = self._file, parquet.metadata.num_rows
        if rows != file.rows:
            self._faults.add(
                "file_unchanged",
                "the file",
                f"has {rows:,} rows",
                f"resolve saw {file.rows:,}",
                "run resolve again",
                file=file.path,
            )
            return []
        names = set(list_columns(blocks))
        # Roles in which a measured column is only held to its type.
        unmeasured = [
            column for column in log_columns(config) if not column.measured and column.name in names
        ]
        measured = (column for block in blocks for column in block.members)
        refused = self._refuse(list(dict.fromkeys([*measured, *unmeasured])))
        return [block for block in blocks if refused.isdisjoint(block.columns)]

    def _refuse(self, columns: list[LogColumn]) -> set[str]:
        """Names of the columns that the file lacks, or has in a type that they may not have."""
        refused: set[str] = set()
        for column in columns:
            if refusal := column.refusal(self._schema):
                refused.add(column.name)
                subject, (rule, observed, allowed, advice) = f"column {column.name}", refusal
                self._faults.add(rule, subject, observed, allowed, advice, file=self._file.path)
        return refused

    def _report_unreadable(self, observed: str) -> None:
        file = self._file.path
        self._faults.add("file_readable", f"file {file}", observed, "", "", file=file)

    def _report_rows(
        self, rule: FileRule, subject: str, observed: str, allowed: str, advice: str, rows: int
    ) -> None:
        file, row_group = self._file.path, self._row_group
        self._faults.add(rule, subject, observed, allowed, advice, file=file, row_group=row_group, rows=rows)


def _check_utf8(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch. Raises ArrowInvalid for a text column that is not UTF-8, which Arrow does not check."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if is_text(column.type):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid(f"column {name}: {error}") from None
    return batch
