"""One pass over a snapshot's files: the profile, what is wrong with single files, a bounded sample of rows."""

from dataclasses import dataclass, field

import pyarrow as pa

from components.artifacts.door import progress
from components.artifacts.snapshot import LogFile, Snapshot
from components.validate.columns import Block, blocks_of
from components.validate.findings import Findings
from components.validate.profile import PartitionProfile, Profile
from components.validate.reader import FileReader
from components.validate.sample import Sampler
from recap_model.config import RecapConfig

_MAX_ROWS_AT_ONCE = 65_536
_MAX_VALUES_AT_ONCE = 8_000_000  # 64 MB as float64


@dataclass
class Scan:
    """What one pass found. ``sample`` has the rows of some requests of all files."""

    profile: Profile = field(default_factory=Profile)
    findings: Findings = field(default_factory=Findings)
    sample: pa.Table | None = None


def scan_log(snapshot: Snapshot, config: RecapConfig, blocks: list[Block] | None = None) -> Scan:
    """Read every row once. Memory is bounded by a batch, the sample and the profile, never by rows.

    ``blocks`` are the columns to read, if not all that the config names.
    """
    scan, blocks = Scan(), blocks_of(config) if blocks is None else blocks
    values_per_row = sum(max(len(block.columns), block.list_width or 0) for block in blocks)
    batch_rows = min(_MAX_ROWS_AT_ONCE, max(1024, _MAX_VALUES_AT_ONCE // values_per_row))
    request = config.features.ids.request if "id" in {block.role for block in blocks} else None
    sampler = Sampler(values_per_row, snapshot.rows, request)
    forms: dict[str, tuple[str, str]] = {}
    done = 0
    for part in snapshot.partitions:
        profile = scan.profile.partitions.setdefault(part.name, PartitionProfile())
        for file in part.files:
            profile.rows += file.rows
            reader = FileReader(snapshot, config, part, file, blocks, scan.findings)
            _compare(forms, reader.forms(), file, scan.findings)
            for batch in reader.batches(batch_rows):
                reader.measure_into(profile, batch)
                sampler.take(batch, file, done, whole=reader.whole)
            done += file.rows
            progress(done, snapshot.rows, f"{done:,} of {snapshot.rows:,} rows")
    scan.sample = sampler.table()
    return scan


def _compare(
    known: dict[str, tuple[str, str]], forms: dict[str, str], file: LogFile, findings: Findings
) -> None:
    """Note the columns of ids that are words in one file and integers in another: the same id would be two."""
    for column, form in forms.items():
        before, first = known.setdefault(column, (form, file.path))
        if form != before:
            findings.add(
                "column_type",
                f"column {column}",
                f"has {form}, and {before} in {first},",
                "ids are of one type in all files",
                "write the files alike",
                file=file.path,
            )
