"""Read one file into the profile, batch by batch and block by block, and record values that prepare would refuse."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from components.common.artifacts.snapshot import LogFile, Partition, Snapshot
from components.common.storage.parquet import open_parquet
from components.validate.profile.columns import Block, columns_of
from components.validate.profile.file_faults import FileFaults, FileRule
from components.validate.profile.histogram import Sketch, sketch_ids, sketch_numbers, sketch_units
from components.validate.profile.profile import PartitionProfile
from components.validate.profile.statistics import Flags, Floats, measure
from components.validate.profile.structure import readable_blocks
from components.validate.profile.timestamps import Span, measure_derived_times, measure_times
from components.validate.profile.values import Values, WrongWidthError, null_stats, values_of
from recap_model.config import RecapConfig
from recap_model.config.reading.errors import in_one_line
from recap_model.data.log.columns import decoded_rows, is_list, is_text, plain_type
from recap_model.data.log.id_hashing import sketch_hashes
from recap_model.data.log.schema import (
    ID_ROLES,
    ID_VALUES,
    form_of,
    id_form,
    invalid_ids,
    invalid_values,
    log_columns,
)


class FileReader:
    """Reads one file into the profile."""

    def __init__(
        self,
        snapshot: Snapshot,
        config: RecapConfig,
        part: Partition,
        file: LogFile,
        blocks: list[Block],
        faults: FileFaults,
    ) -> None:
        self._config, self._file, self._findings = config, file, faults
        self._span = Span.of(part.name)
        self._row_group = 0
        self._parquet = self._open(snapshot)
        self._blocks: list[Block] = []
        if self._parquet is not None:
            self._schema = self._parquet.schema_arrow
            names = {name for block in blocks for name in block.columns}
            others = [
                column for column in log_columns(config) if not column.measured and column.name in names
            ]
            self._blocks = readable_blocks(self._parquet, file, blocks, others, faults)
        self.is_complete = len(self._blocks) == len(blocks)

    def forms(self) -> dict[str, str]:
        """The form (text or integers) of each id column that has one; a column without a value has none."""
        found = {
            name: id_form(self._schema.field(name).type)
            for block in self._blocks
            if block.role in ID_ROLES and not block.list_width
            for name in block.columns
        }
        return {name: form for name, form in found.items() if form is not None}

    def _open(self, snapshot: Snapshot) -> ParquetFile | None:
        try:
            return open_parquet(snapshot, self._file)
        except (OSError, ValueError) as error:
            reason = str(error).removeprefix(f"{self._file.path}: ")
            self._unreadable(f"cannot be read: {reason}")
            return None

    def _unreadable(self, observed: str) -> None:
        file = self._file.path
        self._findings.add("file_readable", f"file {file}", observed, "", "", file=file)

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The readable blocks' columns, batch by batch; each batch lies in one row group."""
        if self._parquet is None or not self._blocks:
            return
        columns = columns_of(self._blocks)
        for row_group in range(self._parquet.num_row_groups):
            self._row_group = row_group
            try:
                batches = self._parquet.iter_batches(rows, row_groups=[row_group], columns=columns)
                yield from map(_in_utf8, map(decoded_rows, batches))
            except (OSError, pa.ArrowException) as error:
                reason = in_one_line(error)
                self._unreadable(f"cannot be read in row group {row_group}: {reason}; write the file again")
                return

    def measure_into(self, profile: PartitionProfile, batch: pa.RecordBatch) -> None:
        """Add a batch's rows to a partition's profile, block by block."""
        for block in self._blocks:
            if block.role in ("id", "split"):
                profile.add(block.key, block.labels, null_stats(batch, block), _units(batch, block))
                continue
            try:
                values = values_of(batch, block)
            except WrongWidthError as error:
                self._note(
                    "list_width",
                    f"column {block.columns[0]}",
                    f"has a list of {error.found}",
                    f"{block.section} says {block.list_width}",
                    "change one of them",
                    error.rows,
                )
                continue
            if block.role == "moment":
                profile.add(block.key, block.labels, measure_derived_times(values))
                continue
            if block.role == "timestamp":
                stamps = self._config.features.timestamps
                for key, labels, stats in measure_times(values, block, stamps, self._span):
                    profile.add(key, labels, stats)
                continue
            unknown, outside = self._flags(block, values)
            stats = measure(values.array, values.nulls, unknown, outside)
            profile.add(block.key, block.labels, stats, _sketch(block, values.array, unknown))

    def _flags(self, block: Block, values: Values) -> tuple[Flags | None, Flags | None]:
        """Masks of the role's unknown values and of its invalid values."""
        array = values.array
        if block.role in ("embedding", "sparse"):
            return array == 0.0, None
        if block.role == "discrete":
            self._check_discrete(block, values)
            return array == -1.0, None
        if block.role == "weight":
            return None, invalid_values("weight", array)
        if block.role not in ("label", "binary"):
            return None, None
        outside = invalid_values("label", array)
        if block.role == "label" and outside.any():
            self._check_labels(block, array, outside)
        return None, outside

    def _check_labels(self, block: Block, array: Floats, outside: Flags) -> None:
        for task, column in self._config.label_columns().items():
            wrong = array[:, block.columns.index(column)][outside[:, block.columns.index(column)]]
            if len(wrong):
                self._note(
                    "label_values",
                    f"task {task}",
                    f"has value {float(wrong[0])}",
                    "a label is 0, 1 or null",
                    f"fix the log, or map another column in tasks.{task}.label",
                    len(wrong),
                )

    def _check_discrete(self, block: Block, values: Values) -> None:
        """Ids stored as floats must be integers, as in `read_ids`."""
        array, floats = values.array, self._are_floats(block)
        if not floats.any():
            return
        wrong = invalid_ids(array) & floats
        no_ids = np.count_nonzero(np.isnan(array), axis=0) - values.nulls
        for place in np.flatnonzero(wrong.any(axis=0) | (no_ids > 0)):
            first = array[wrong[:, place], place][:1]
            self._note(
                "discrete_values",
                f"column {block.labels[place]}",
                f"has value {float(first[0]) if len(first) else float('nan')}",
                ID_VALUES,
                f"fix the log, or move the column out of {block.section}",
                int(np.count_nonzero(wrong[:, place]) + no_ids[place]),
            )

    def _are_floats(self, block: Block) -> Flags:
        """Which positions of a block are stored as floats: (width,), or (1,) of lists."""
        kinds = [plain_type(self._schema.field(name).type) for name in block.columns]
        return np.array([form_of(kind.value_type if is_list(kind) else kind) == "float" for kind in kinds])

    def _note(
        self, rule: FileRule, subject: str, observed: str, allowed: str, advice: str, rows: int
    ) -> None:
        file, row_group = self._file.path, self._row_group
        self._findings.add(
            rule, subject, observed, allowed, advice, file=file, row_group=row_group, rows=rows
        )


def _in_utf8(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch. Raises ArrowInvalid for a text column that is not UTF-8, which Arrow does not check."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if is_text(column.type):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid(f"column {name}: {error}") from None
    return batch


def _units(batch: pa.RecordBatch, block: Block) -> Sketch | None:
    if block.role != "id":
        return None
    return sketch_units([sketch_hashes(batch.column(name).drop_null()) for name in block.columns])


def _sketch(block: Block, array: Floats, unknown: Flags | None) -> Sketch | None:
    """Histogram of the known values; a label has none, because its counts are its histogram."""
    if block.role == "label":
        return None
    return (sketch_ids if block.role == "discrete" else sketch_numbers)(array, unknown)
