"""Read groups of the log's files: rows of each set, sampled, to their shards, with their statistics."""

from collections.abc import Generator
from dataclasses import dataclass

from components.common.artifacts.snapshot import Snapshot
from components.common.engine import ToShards
from components.common.engine.scratch import ScratchFile
from components.common.storage.file_groups import FileGroup
from components.prepare.histories.history_file import Histories, HistoryReader
from components.prepare.id_forms import IdForms
from components.prepare.requests import ChangedRows
from components.prepare.rows import Rows, columns_to_read, read_file, to_record_batch, to_rows
from components.prepare.sampling import NegativeSampler
from components.prepare.shards.layout import ShardLayout
from components.prepare.split import SPLITS, Splitter
from components.prepare.statistics.feature_statistics import StatisticsBuilder
from components.prepare.statistics.vocabularies import IdCounts, vocabularies_of
from recap_model.config import RecapConfig
from recap_model.data.log.feature_groups import read_crosses


@dataclass(frozen=True)
class Gathered:
    """Sampling counts and statistics of the training rows of one or more groups."""

    sampler: NegativeSampler
    statistics: StatisticsBuilder


def merge_gathered(first: Gathered, later: Gathered) -> Gathered:
    """Add those of the next group."""
    first.sampler.merge(later.sampler)
    first.statistics.merge(later.statistics)
    return first


@dataclass(frozen=True)
class RowsToShards:
    """A kernel: a group's rows as they are in the sets. An item is a group, with its changed rows if it has any.

    Attributes:
        forms: of the log's id columns.
        histories: of `features.derived_sequences`.
    """

    snapshot: Snapshot
    config: RecapConfig
    splitter: Splitter
    layout: ShardLayout
    forms: IdForms
    histories: Histories

    def __call__(self, group: tuple[FileGroup, ScratchFile | None]) -> Generator[ToShards, None, Gathered]:
        """Yields the kept rows of a group, and the counts of their ids; returns their statistics.

        Raises:
            FileNotFoundError, ValueError: a file changed since resolve froze it, or cannot be read.
        """
        config, (files, changed_rows) = self.config, group
        gathered = Gathered(NegativeSampler(config), StatisticsBuilder(config))
        vocabularies = vocabularies_of(config)
        id_counts = IdCounts(vocabularies)
        columns, first, changed = columns_to_read(config), files.first_row, ChangedRows.read(changed_rows)
        histories = HistoryReader(self.histories)
        derived = config.features.derived.values()
        crosses = list(
            dict.fromkeys(name for column in derived if column.kind == "cross" for name in column.of)
        )
        for partition, file in files.files:
            gathered.statistics.begin_file()
            for batch in read_file(self.snapshot, file, columns, verify=True):
                rows = to_rows(batch, config, self.forms, file.path, first)
                rows.sequences |= histories.read(first, len(rows))
                codes = self.splitter.codes(batch, partition, file)
                changed.apply(codes, first)
                train = gathered.sampler(rows.take(codes == 0))
                gathered.statistics.add(train)
                id_counts.add(train)
                if crosses:
                    of_train = batch.select(crosses).take(train.number - first)
                    gathered.statistics.add_crosses(read_crosses(of_train, config.features, file.path))
                yield self._to_shards(SPLITS[0], train)
                for code, split in enumerate(SPLITS[1:], start=1):
                    yield self._to_shards(split, rows.take(codes == code))
                if id_counts.are_many:
                    yield self._count_ids(id_counts)
                first += len(rows)
        if vocabularies:
            yield self._count_ids(id_counts)
        return gathered

    def _to_shards(self, split: str, rows: Rows) -> ToShards:
        return ToShards(to_record_batch(rows, numbered=True), self.layout.shards_of_rows(split, rows.number))

    def _count_ids(self, id_counts: IdCounts) -> ToShards:
        counts = id_counts.to_record_batch()
        return ToShards(counts, self.layout.shards_of_ids(counts["id"].to_numpy()))
