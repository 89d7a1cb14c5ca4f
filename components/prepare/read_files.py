"""What becomes of the rows of one group of the log's files; groups are read side by side."""

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
    """What every group has to know: the same for all, small, and found out once.

    Attributes:
        duplicates: numbers of the rows that are left out, rising.
        shards: files of the training set.
        forms: of the log's columns of ids.
    """

    snapshot: Snapshot
    config: RecapConfig
    splitter: Splitter
    duplicates: NDArray[np.int64]
    shards: int
    forms: IdForms


@dataclass(frozen=True)
class Gathered:
    """What is known of the training rows of some groups beside the rows."""

    sampler: NegativeSampler
    statistics: StatisticsBuilder

    def merge(self, later: "Gathered") -> None:
        """Take in what the next group gathered."""
        self.sampler.merge(later.sampler)
        self.statistics.merge(later.statistics)


def read_group(work: Work, group: FileGroup, add: Add, tell: Tell = lambda rows: None) -> Gathered:
    """Hand every row of a group that is kept to ``add``, with its set and its file's number in the set.

    Args:
        tell: called with the number of rows that are done.

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
            codes[_among(rows.number, work.duplicates)] = len(SPLITS)
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


def _among(numbers: NDArray[np.int64], rising: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(rising):
        return np.zeros(len(numbers), dtype=bool)
    places = np.minimum(np.searchsorted(rising, numbers), len(rising) - 1)
    return rising[places] == numbers
