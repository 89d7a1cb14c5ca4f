"""The log's files in groups of about as many rows, which are read side by side."""

from dataclasses import dataclass

import numpy as np

from components.common.artifacts.snapshot import LogFile, Partition, Snapshot


@dataclass(frozen=True)
class Group:
    """Files of the log that one process reads, and the number of their first row in the log."""

    number: int
    files: list[tuple[Partition, LogFile]]
    first_row: int

    @property
    def rows(self) -> int:
        return sum(file.rows for _, file in self.files)

    def cut(self, groups: int) -> list["Group"]:
        """The files in at most so many groups of about as many rows, in their order; none of no file."""
        ends = np.cumsum([file.rows for _, file in self.files], dtype=np.int64)
        if not len(ends):
            return []
        aims = ends[-1] * np.arange(1, groups + 1) / groups
        lasts = np.unique(np.searchsorted(ends, aims - 0.5) + 1)
        lasts[-1] = len(self.files)  # empty files at the end are of the last group
        found, first = [], 0
        for number, last in enumerate(lasts.tolist()):
            before = int(ends[first - 1]) if first else 0
            found.append(Group(number, self.files[first:last], self.first_row + before))
            first = last
        return found


def whole(snapshot: Snapshot) -> Group:
    """All files of the log as one group."""
    return Group(0, [(partition, file) for partition in snapshot.partitions for file in partition.files], 0)


def cut(snapshot: Snapshot, groups: int) -> list[Group]:
    """The log's files in at most so many groups, see `Group.cut`."""
    return whole(snapshot).cut(groups)
