"""One pass over a snapshot's files: the profile, faults of single files, a bounded sample of rows.

An engine maps groups of files to partial scans and merges them; the result depends neither on the groups nor on the
engine.
"""

import functools
import itertools
from dataclasses import dataclass, field

import pyarrow as pa

from components.common.artifacts.snapshot import Snapshot
from components.common.engine import Engine
from components.common.runtime.process_pool import cores
from components.common.runtime.step import progress
from components.common.storage.file_groups import FileGroup, split_files
from components.validate.profile.columns import Block, list_columns
from components.validate.profile.file_faults import FileFaults
from components.validate.profile.file_reader import FileReader
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.row_sample import Sampler, concat_sample
from components.validate.profile.sketches.distinct_values import DistinctValues
from components.validate.profile.sketches.top_values import summarize_values
from recap_model.config import RecapConfig
from recap_model.config.model.table_columns import shared_log_columns

_MAX_BATCH_ROWS = 65_536
_MAX_BATCH_VALUES = 8_000_000  # 64 MB as float64
_VALUES_PER_PROCESS = 30_000_000  # fewer are read sooner than a process has started
_MIN_GROUPS = 16


@dataclass
class PartialScan:
    """The scan of consecutive files.

    Attributes:
        id_forms: by file, in order, the form (text or integers) of its id columns.
        sample: tables of sampled rows, in order.
        schemas: the distinct schemas of the files' measured columns.
        digests: SHA-256 of each file by its path, empty if its store keeps versions.
    """

    profile: Profile = field(default_factory=Profile)
    distinct: DistinctValues = field(default_factory=DistinctValues)
    faults: FileFaults = field(default_factory=FileFaults)
    id_forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sample: list[pa.Table] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    schemas: dict[pa.Schema, None] = field(default_factory=dict)

    def merge(self, later: "PartialScan", max_sample_rows: int) -> None:
        """Add the scan of the next files; of their sample, rows until there are ``max_sample_rows``."""
        self.profile += later.profile
        self.distinct.merge(later.distinct)
        self.faults.merge(later.faults)
        self.id_forms += later.id_forms
        self.digests |= later.digests
        self.schemas |= later.schemas
        room = max_sample_rows - sum(map(len, self.sample))
        for table in later.sample:
            self.sample += [table.slice(0, room)] if room > 0 else []
            room -= len(table)


@dataclass
class Scan:
    """The result of one pass over a log.

    Attributes:
        sample: the rows of sampled requests.
        schemas: the distinct schemas of the files' measured columns.
        digests: SHA-256 of each file by its path, empty if its store keeps versions.
    """

    profile: Profile = field(default_factory=Profile)
    faults: FileFaults = field(default_factory=FileFaults)
    sample: pa.Table | None = None
    digests: dict[str, str] = field(default_factory=dict)
    schemas: list[pa.Schema] = field(default_factory=list)


@dataclass(frozen=True)
class Log:
    """A log to read and the columns to measure, the same for all groups of its files."""

    snapshot: Snapshot
    config: RecapConfig
    blocks: list[Block]

    @property
    def values_per_row(self) -> int:
        """Minimum number of values in a row of the measured columns."""
        return sum(max(len(block.columns), block.list_width or 0) for block in self.blocks)

    @property
    def batch_rows(self) -> int:
        """Rows of a batch; fewer where rows are wide."""
        return min(_MAX_BATCH_ROWS, max(1024, _MAX_BATCH_VALUES // self.values_per_row))

    @property
    def sampler(self) -> Sampler:
        """The sampler of its rows."""
        request = self.config.features.ids.request
        known = request if request in list_columns(self.blocks) else None
        return Sampler(self.values_per_row, self.snapshot.rows, known)


def scan_log(log: Log, engine: Engine) -> Scan:
    """Read every row once. Memory is bounded by a batch, the sample and the profile, never by rows.

    Raises:
        ChildProcessError: a process or executor that read files was lost.
    """
    groups = split_log(log, engine)
    if not groups:
        return _finish(log, PartialScan())
    sampler = log.sampler
    rows_done = [0, *itertools.accumulate(group.rows for group in groups)]
    scanned = engine.map(
        groups,
        functools.partial(_scan_group, log, sampler),
        functools.partial(_merge, sampler.max_rows),
        lambda done: progress(
            rows_done[done], rows_done[-1], f"{rows_done[done]:,} of {rows_done[-1]:,} rows"
        ),
    )
    return _finish(log, scanned)


def split_log(log: Log, engine: Engine) -> list[FileGroup]:
    """The log's files in groups for an engine; a log of few values in few, as each has a state to send and merge."""
    groups = max(_MIN_GROUPS, log.snapshot.rows * log.values_per_row // _VALUES_PER_PROCESS)
    return split_files(log.snapshot, min(engine.item_count, groups))


def choose_processes(log: Log) -> int:
    """Processes of this machine that read a log in the least time; starting more takes longer than they save."""
    return max(1, min(cores(), log.snapshot.rows * log.values_per_row // _VALUES_PER_PROCESS))


def _merge(max_sample_rows: int, first: PartialScan, later: PartialScan) -> PartialScan:
    first.merge(later, max_sample_rows)
    return first


def _finish(log: Log, scanned: PartialScan) -> Scan:
    """The scan of a log from the partial scan of all its files: partitions and blocks in the log's order."""
    partitions, profile = scanned.profile.partitions, Profile()
    ranks = {block.key: rank for rank, block in enumerate(log.blocks)}
    for partition in log.snapshot.partitions:
        profiled = partitions.get(partition.name, PartitionProfile())
        keys = sorted(profiled.blocks, key=lambda key: (ranks.get(key, len(ranks)), key))
        ordered = {key: profiled.blocks[key] for key in keys}
        profile.partitions[partition.name] = PartitionProfile(profiled.rows, ordered)
    _check_id_forms(scanned, log.config)
    sample = concat_sample(scanned.sample)
    request = log.config.features.ids.request
    profile.values = summarize_values(profile, scanned.distinct, sample, log.blocks, request)
    return Scan(profile, scanned.faults, sample, scanned.digests, list(scanned.schemas))


def _scan_group(log: Log, sampler: Sampler, files: FileGroup) -> PartialScan:
    scanned = PartialScan()
    first_row, room = files.first_row, sampler.max_rows
    for partition, file in files.files:
        profile = scanned.profile.partitions.setdefault(partition.name, PartitionProfile())
        profile.rows += file.rows
        reader = FileReader(log.snapshot, log.config, partition, file, log.blocks, scanned.faults)
        scanned.id_forms.append((file.path, reader.id_forms()))
        scanned.digests[file.path] = reader.sha256
        row = first_row
        for batch in reader.batches(log.batch_rows):
            reader.measure_into(profile, scanned.distinct, batch)
            if reader.is_complete:
                scanned.schemas[batch.schema.remove_metadata()] = None
            if reader.is_complete and room > 0 and (rows := sampler.sample(batch, file, row)) is not None:
                scanned.sample.append(rows.slice(0, room))
                room -= len(rows)
            row += batch.num_rows
        first_row += file.rows
    return scanned


def _check_id_forms(scanned: PartialScan, config: RecapConfig) -> None:
    """Record a fault for ids that are text in one file, or one column of a shared table, and integers in another.

    They would not match.
    """
    first_forms: dict[str, tuple[str, str]] = {}
    for path, forms in scanned.id_forms:
        for column, form in forms.items():
            first_form, first_path = first_forms.setdefault(column, (form, path))
            if form != first_form:
                scanned.faults.add(
                    "column_type",
                    f"column {column}",
                    f"has {form}, and {first_form} in {first_path},",
                    "ids are of one type in all files",
                    "write all files with the same type",
                    file=path,
                )
    for table, columns in shared_log_columns(config).items():
        known = [column for column in columns if column in first_forms]
        for column in known[1:]:
            (form, path), (other, _) = first_forms[column], first_forms[known[0]]
            if form != other:
                scanned.faults.add(
                    "column_type",
                    f"column {column}",
                    f"has {form}, and {known[0]} has {other},",
                    f"columns that read one table (model.tables.{table}) have ids of one type",
                    "write them with the same type, or give each a table of its own",
                    file=path,
                )
