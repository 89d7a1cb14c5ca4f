"""Read one group of the log's files: rows of each set, sampled, with their statistics."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.snapshot import Snapshot
from components.common.storage.file_groups import FileGroup
from components.prepare.id_forms import IdForms
from components.prepare.rows import Rows, columns_to_read, read_file, to_rows
from components.prepare.sampling import NegativeSampler
from components.prepare.shard_writer import by_shard
from components.prepare.split import SPLITS, Splitter
from components.prepare.statistics import StatisticsBuilder
from recap_model.config import RecapConfig
from recap_model.data.log.feature_groups import read_crosses

Add = Callable[[str, int, Rows], None]
Tell = Callable[[int], None]


@dataclass(frozen=True)
class Work:
    """The inputs of every group, computed once.

    Attributes:
        duplicates: numbers of the rows that are left out, ascending.
        shards: number of files of the training set.
        forms: of the log's id columns.
    """

    snapshot: Snapshot
    config: RecapConfig
    splitter: Splitter
    duplicates: NDArray[np.int64]
    shards: int
    forms: IdForms


@dataclass(frozen=True)
class Gathered:
    """Sampling counts and statistics of the training rows of one or more groups."""

    sampler: NegativeSampler
    statistics: StatisticsBuilder

    def merge(self, later: "Gathered") -> None:
        """Add those of the next group."""
        self.sampler.merge(later.sampler)
        self.statistics.merge(later.statistics)


def read_group(work: Work, group: FileGroup, add: Add, tell: Tell = lambda rows: None) -> Gathered:
    """Pass every kept row of a group to ``add``, with its set and shard number.

    Args:
        tell: called with the number of processed rows.

    Raises:
        FileNotFoundError, ValueError: a file changed since resolve froze it, or cannot be read as the config says.
    """
    config = work.config
    gathered = Gathered(NegativeSampler(config), StatisticsBuilder(config))
    columns, first = columns_to_read(config), group.first_row
    derived = config.features.derived.values()
    crosses = list(dict.fromkeys(name for column in derived if column.kind == "cross" for name in column.of))
    for partition, file in group.files:
        gathered.statistics.begin_file()
        for batch in read_file(work.snapshot, file, columns, verify=True):
            rows = to_rows(batch, config, work.forms, file.path, first)
            codes = work.splitter.codes(batch, partition, file)
            codes[_is_in_sorted(rows.number, work.duplicates)] = len(SPLITS)
            train = gathered.sampler(rows.take(codes == 0))
            gathered.statistics.add(train)
            if crosses:
                of_train = batch.select(crosses).take(train.number - first)
                gathered.statistics.add_crosses(read_crosses(of_train, config.features, file.path))
            for shard, chosen in enumerate(by_shard(train, work.shards, config.data.seed)):
                add(SPLITS[0], shard, chosen)
            for code, split in enumerate(SPLITS[1:], start=1):
                add(split, 0, rows.take(codes == code))
            first += len(rows)
        tell(first - group.first_row)
    return gathered


def _is_in_sorted(numbers: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(numbers), dtype=bool)
    indices = np.minimum(np.searchsorted(ascending, numbers), len(ascending) - 1)
    return ascending[indices] == numbers
