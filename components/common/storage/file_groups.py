"""Groups of the log's files with about equal numbers of rows, read in parallel."""

from dataclasses import dataclass

import numpy as np

from components.common.artifacts.snapshot import LogFile, Partition, Snapshot

_SMALL_GROUPS = 64
_ROWS_PER_GROUP = 100_000


@dataclass(frozen=True)
class FileGroup:
    """Files of the log that one process reads, and the number of their first row in the log."""

    number: int
    files: list[tuple[Partition, LogFile]]
    first_row: int

    @property
    def rows(self) -> int:
        return sum(file.rows for _, file in self.files)

    def split(self, groups: int) -> list["FileGroup"]:
        """Split into at most ``groups`` groups with about equal rows, in file order; no group is empty."""
        ends = np.cumsum([file.rows for _, file in self.files], dtype=np.int64)
        if not len(ends):
            return []
        aims = ends[-1] * np.arange(1, groups + 1) / groups
        lasts = np.unique(np.searchsorted(ends, aims - 0.5) + 1)
        lasts[-1] = len(self.files)  # empty files at the end are of the last group
        result, first = [], 0
        for number, last in enumerate(lasts.tolist()):
            before = int(ends[first - 1]) if first else 0
            result.append(FileGroup(number, self.files[first:last], self.first_row + before))
            first = last
        return result


def all_files(snapshot: Snapshot) -> FileGroup:
    """All files of the log as one group."""
    return FileGroup(
        0, [(partition, file) for partition in snapshot.partitions for file in partition.files], 0
    )


def split_files(snapshot: Snapshot, groups: int) -> list[FileGroup]:
    """Split the log's files into at most ``groups`` groups, see `FileGroup.split`.

    Above 64 groups they have at least 100,000 rows each on average: a task for each of thousands of small files would
    take longer to schedule than to run.
    """
    return all_files(snapshot).split(min(groups, max(_SMALL_GROUPS, snapshot.rows // _ROWS_PER_GROUP)))
