"""One pass over a snapshot's files: the profile, what is wrong with single files, a bounded sample of rows.

The files are read in groups, by a process for each core; what was found of them adds up to the same whole.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa

from components.common.artifacts.snapshot import Snapshot
from components.common.runtime.process_pool import cores, map_processes
from components.common.runtime.step import progress
from components.common.storage.file_groups import FileGroup, all_files
from components.validate.profile.columns import Block, blocks_of, columns_of
from components.validate.profile.file_faults import Findings
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
    """What was found of some neighbouring files.

    Attributes:
        forms: by file, in order, whether its columns of ids are of words or of integers.
        taken: pieces of the sample, in order.
    """

    profile: Profile = field(default_factory=Profile)
    findings: Findings = field(default_factory=Findings)
    forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    taken: list[pa.Table] = field(default_factory=list)

    def merge(self, later: "Part", most: int) -> None:
        """Take in what was found of the next files; of their sample no more than makes ``most`` rows."""
        self.profile += later.profile
        self.findings.merge(later.findings)
        self.forms += later.forms
        room = most - sum(map(len, self.taken))
        for table in later.taken:
            self.taken += [table.slice(0, room)] if room > 0 else []
            room -= len(table)


@dataclass
class Scan:
    """What one pass found. ``sample`` has the rows of some requests of all files."""

    profile: Profile = field(default_factory=Profile)
    findings: Findings = field(default_factory=Findings)
    sample: pa.Table | None = None


@dataclass(frozen=True)
class Log:
    """A log to read, and what is read of it: the same for all groups of its files."""

    snapshot: Snapshot
    config: RecapConfig
    blocks: list[Block]

    @property
    def values_per_row(self) -> int:
        """Numbers that a row of the measured columns has, at least."""
        return sum(max(len(block.columns), block.list_width or 0) for block in self.blocks)

    @property
    def sampler(self) -> Sampler:
        """What takes rows of it."""
        request = self.config.features.ids.request
        known = request if request in columns_of(self.blocks) else None
        return Sampler(self.values_per_row, self.snapshot.rows, known)


def scan_log(
    snapshot: Snapshot, config: RecapConfig, blocks: list[Block] | None = None, groups: int | None = None
) -> Scan:
    """Read every row once. Memory is bounded by a batch, the sample and the profile, never by rows.

    Args:
        blocks: the columns to read, if not all that the config names.
        groups: of files that are read side by side; as many as the machine's cores make worth it if None. What is
            found does not depend on them.

    Raises:
        ChildProcessError: a process that read files was killed.
    """
    log = Log(snapshot, config, blocks_of(config) if blocks is None else blocks)
    return complete(log, read_files(log, all_files(snapshot), groups))


def read_files(log: Log, files: FileGroup, groups: int | None = None) -> Part:
    """What a log's files, or a group of them, have; arguments and errors as of `scan_log`."""
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
    """The scan of a log of all of whose files ``part`` is."""
    found, profile = part.profile.partitions, Profile()
    ranks = {block.key: rank for rank, block in enumerate(log.blocks)}
    for one in log.snapshot.partitions:
        inside = found.get(one.name, PartitionProfile())
        keys = sorted(inside.blocks, key=lambda key: (ranks.get(key, len(ranks)), key))
        ordered = {key: inside.blocks[key] for key in keys}
        profile.partitions[one.name] = PartitionProfile(inside.rows, ordered)
    _compare(part)
    return Scan(profile, part.findings, in_one(part.taken))


def _groups(log: Log, files: FileGroup) -> int:
    """More groups than processes, so that none waits long for the last; one where starting them costs more."""
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
        reader = FileReader(log.snapshot, log.config, partition, file, log.blocks, found.findings)
        found.forms.append((file.path, reader.forms()))
        number = first
        for batch in reader.batches(batch_rows):
            reader.measure_into(profile, batch)
            if reader.whole and room > 0 and (rows := sampler.take(batch, file, number)) is not None:
                found.taken.append(rows.slice(0, room))
                room -= len(rows)
            number += batch.num_rows
        first += file.rows
        tell(first - files.first_row)
    return found


def _compare(part: Part) -> None:
    """Note the columns of ids that are words in one file and integers in another: the same id would be two."""
    known: dict[str, tuple[str, str]] = {}
    for path, forms in part.forms:
        for column, form in forms.items():
            before, first = known.setdefault(column, (form, path))
            if form != before:
                part.findings.add(
                    "column_type",
                    f"column {column}",
                    f"has {form}, and {before} in {first},",
                    "ids are of one type in all files",
                    "write the files alike",
                    file=path,
                )
