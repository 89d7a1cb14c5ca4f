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
from components.validate.profile.columns import Block, blocks_of, columns_of
from components.validate.profile.file_faults import FileFaults
from components.validate.profile.file_reader import FileReader
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.row_sample import Sampler, in_one
from recap_model.config import RecapConfig

_MAX_ROWS_AT_ONCE = 65_536
_MAX_VALUES_AT_ONCE = 8_000_000  # 64 MB as float64
_VALUES_PER_PROCESS = 30_000_000  # fewer are read sooner than a process has started
_GROUPS_PER_PROCESS = 4

Tell = Callable[[int], None]


@dataclass
class Part:
    """The partial scan of consecutive files.

    Attributes:
        forms: by file, in order, the form (text or integers) of its id columns.
        taken: pieces of the sample, in order.
    """

    profile: Profile = field(default_factory=Profile)
    faults: FileFaults = field(default_factory=FileFaults)
    forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    taken: list[pa.Table] = field(default_factory=list)

    def merge(self, later: "Part", most: int) -> None:
        """Add the partial scan of the next files, and of their sample until it has ``most`` rows."""
        self.profile += later.profile
        self.faults.merge(later.faults)
        self.forms += later.forms
        room = most - sum(map(len, self.taken))
        for table in later.taken:
            self.taken += [table.slice(0, room)] if room > 0 else []
            room -= len(table)


@dataclass
class Scan:
    """The result of one pass. ``sample`` has the rows of sampled requests."""

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
    def sampler(self) -> Sampler:
        """The sampler of its rows."""
        request = self.config.features.ids.request
        known = request if request in columns_of(self.blocks) else None
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
    log = Log(snapshot, config, blocks_of(config) if blocks is None else blocks)
    return complete(log, read_files(log, all_files(snapshot), groups))


def read_files(log: Log, files: FileGroup, groups: int | None = None) -> Part:
    """The partial scan of a group of a log's files; arguments and errors as of `scan_log`."""
    cut = files.split(groups or _groups(log, files))
    if len(cut) < 2:
        return _read(log, files, lambda done: _say(done, files.rows))
    most, done, found = log.sampler.most, 0, Part()
    for group, part in zip(
        cut, map_processes(_read, [(log, group) for group in cut], min(cores(), len(cut))), strict=True
    ):
        found.merge(part, most)
        done += group.rows
        _say(done, files.rows)
    return found


def complete(log: Log, part: Part) -> Scan:
    """The scan of a log from the partial scan of all its files."""
    found, profile = part.profile.partitions, Profile()
    ranks = {block.key: rank for rank, block in enumerate(log.blocks)}
    for one in log.snapshot.partitions:
        inside = found.get(one.name, PartitionProfile())
        keys = sorted(inside.blocks, key=lambda key: (ranks.get(key, len(ranks)), key))
        ordered = {key: inside.blocks[key] for key in keys}
        profile.partitions[one.name] = PartitionProfile(inside.rows, ordered)
    _compare(part)
    return Scan(profile, part.faults, in_one(part.taken))


def _groups(log: Log, files: FileGroup) -> int:
    """More groups than processes, to balance their load; one group if starting processes costs more."""
    processes = min(cores(), files.rows * log.values_per_row // _VALUES_PER_PROCESS)
    return 1 if processes < 2 else processes * _GROUPS_PER_PROCESS


def _say(done: int, rows: int) -> None:
    progress(done, rows, f"{done:,} of {rows:,} rows")


def _read(log: Log, files: FileGroup, tell: Tell = lambda rows: None) -> Part:
    found, sampler = Part(), log.sampler
    batch_rows = min(_MAX_ROWS_AT_ONCE, max(1024, _MAX_VALUES_AT_ONCE // log.values_per_row))
    first, room = files.first_row, sampler.most
    for partition, file in files.files:
        profile = found.profile.partitions.setdefault(partition.name, PartitionProfile())
        profile.rows += file.rows
        reader = FileReader(log.snapshot, log.config, partition, file, log.blocks, found.faults)
        found.forms.append((file.path, reader.forms()))
        number = first
        for batch in reader.batches(batch_rows):
            reader.measure_into(profile, batch)
            if reader.is_complete and room > 0 and (rows := sampler.take(batch, file, number)) is not None:
                found.taken.append(rows.slice(0, room))
                room -= len(rows)
            number += batch.num_rows
        first += file.rows
        tell(first - files.first_row)
    return found


def _compare(part: Part) -> None:
    """Record a fault for id columns that are text in one file and integers in another: ids would not match."""
    known: dict[str, tuple[str, str]] = {}
    for path, forms in part.forms:
        for column, form in forms.items():
            before, first = known.setdefault(column, (form, path))
            if form != before:
                part.faults.add(
                    "column_type",
                    f"column {column}",
                    f"has {form}, and {before} in {first},",
                    "ids are of one type in all files",
                    "write all files with the same type",
                    file=path,
                )
