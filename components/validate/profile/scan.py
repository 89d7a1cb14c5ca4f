"""One pass over a snapshot's files: the profile, faults of single files, a bounded sample of rows.

Groups of files are read by a process for each core, and merged; the result is independent of the groups.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa

from components.common.artifacts.snapshot import Snapshot
from components.common.runtime.process_pool import cores, map_processes
from components.common.runtime.step import progress
from components.common.storage.file_groups import FileGroup, all_files
from components.validate.profile.columns import Block, list_blocks, list_columns
from components.validate.profile.file_faults import FileFaults
from components.validate.profile.file_reader import FileReader
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.row_sample import Sampler, concat_sample
from recap_model.config import RecapConfig

_MAX_BATCH_ROWS = 65_536
_MAX_BATCH_VALUES = 8_000_000  # 64 MB as float64
_VALUES_PER_PROCESS = 30_000_000  # fewer are read sooner than a process has started
_GROUPS_PER_PROCESS = 4


@dataclass
class PartialScan:
    """The scan of consecutive files.

    Attributes:
        id_forms: by file, in order, the form (text or integers) of its id columns.
        sample: tables of sampled rows, in order.
        digests: SHA-256 of each file by its path, empty if its store keeps versions.
    """

    profile: Profile = field(default_factory=Profile)
    faults: FileFaults = field(default_factory=FileFaults)
    id_forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sample: list[pa.Table] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)

    def merge(self, later: "PartialScan", max_sample_rows: int) -> None:
        """Add the scan of the next files; of their sample, rows until there are ``max_sample_rows``."""
        self.profile += later.profile
        self.faults.merge(later.faults)
        self.id_forms += later.id_forms
        self.digests |= later.digests
        room = max_sample_rows - sum(map(len, self.sample))
        for table in later.sample:
            self.sample += [table.slice(0, room)] if room > 0 else []
            room -= len(table)


@dataclass
class Scan:
    """The result of one pass over a log. ``sample`` has the rows of sampled requests."""

    profile: Profile = field(default_factory=Profile)
    faults: FileFaults = field(default_factory=FileFaults)
    sample: pa.Table | None = None


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


def scan_log(
    snapshot: Snapshot, config: RecapConfig, blocks: list[Block] | None = None, groups: int | None = None
) -> Scan:
    """Read every row once. Memory is bounded by a batch, the sample and the profile, never by rows.

    Args:
        blocks: the columns to read; all columns of the config if None.
        groups: of files that are read in parallel; chosen by the number of cores if None. The result does not depend
            on it.

    Raises:
        ChildProcessError: a process that read files was killed.
    """
    log = Log(snapshot, config, list_blocks(config) if blocks is None else blocks)
    return finish_scan(log, scan_files(log, all_files(snapshot), groups))


def scan_files(log: Log, files: FileGroup, groups: int | None = None) -> PartialScan:
    """The scan of a group of a log's files; arguments and errors as of `scan_log`."""
    split = files.split(groups or _choose_groups(log, files))
    if len(split) < 2:
        return _scan_group(log, files, lambda rows: _report_progress(rows, files.rows))
    max_sample_rows, rows, merged = log.sampler.max_rows, 0, PartialScan()
    for group, scanned in zip(
        split,
        map_processes(_scan_group, [(log, group) for group in split], min(cores(), len(split))),
        strict=True,
    ):
        merged.merge(scanned, max_sample_rows)
        rows += group.rows
        _report_progress(rows, files.rows)
    return merged


def finish_scan(log: Log, scanned: PartialScan) -> Scan:
    """The scan of a log from the partial scan of all its files."""
    partitions, profile = scanned.profile.partitions, Profile()
    ranks = {block.key: rank for rank, block in enumerate(log.blocks)}
    for partition in log.snapshot.partitions:
        profiled = partitions.get(partition.name, PartitionProfile())
        keys = sorted(profiled.blocks, key=lambda key: (ranks.get(key, len(ranks)), key))
        ordered = {key: profiled.blocks[key] for key in keys}
        profile.partitions[partition.name] = PartitionProfile(profiled.rows, ordered)
    _check_id_forms(scanned)
    return Scan(profile, scanned.faults, concat_sample(scanned.sample))


def _choose_groups(log: Log, files: FileGroup) -> int:
    """More groups than processes, to balance their load; one group if starting processes costs more."""
    processes = min(cores(), files.rows * log.values_per_row // _VALUES_PER_PROCESS)
    return 1 if processes < 2 else processes * _GROUPS_PER_PROCESS


def _report_progress(done: int, rows: int) -> None:
    progress(done, rows, f"{done:,} of {rows:,} rows")


def _scan_group(
    log: Log, files: FileGroup, report_rows: Callable[[int], None] = lambda rows: None
) -> PartialScan:
    scanned, sampler = PartialScan(), log.sampler
    first_row, room = files.first_row, sampler.max_rows
    for partition, file in files.files:
        profile = scanned.profile.partitions.setdefault(partition.name, PartitionProfile())
        profile.rows += file.rows
        reader = FileReader(log.snapshot, log.config, partition, file, log.blocks, scanned.faults)
        scanned.id_forms.append((file.path, reader.id_forms()))
        scanned.digests[file.path] = reader.sha256
        row = first_row
        for batch in reader.batches(log.batch_rows):
            reader.measure_into(profile, batch)
            if reader.is_complete and room > 0 and (rows := sampler.sample(batch, file, row)) is not None:
                scanned.sample.append(rows.slice(0, room))
                room -= len(rows)
            row += batch.num_rows
        first_row += file.rows
        report_rows(first_row - files.first_row)
    return scanned


def _check_id_forms(scanned: PartialScan) -> None:
    """Record a fault for id columns that are text in one file and integers in another: ids would not match."""
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
