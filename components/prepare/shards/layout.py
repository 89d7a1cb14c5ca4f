"""Which shard of prepare's exchange a row goes to: a file of a set, or the counting of ids."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.snapshot import Snapshot
from components.prepare.split import SPLITS
from recap_model.config import RecapConfig
from recap_model.config.data.dataset import SplitByHash
from recap_model.data.log.id_hashing import seeded_hash

_ROWS_PER_FILE = 250_000
# Of a set: with more, what an engine moves at once for each of them would be less than its header.
_MAX_FILES = 4096
_ROWS_OF_ONE_HELD_OUT_FILE = 4_000_000
_ROWS_PER_VOCABULARY = 2_000_000
_ROWS_PER_REQUESTS = 1_000_000

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class ShardLayout:
    """Numbers of shards: training files, calibration files, test files, and then those that count ids.

    A training row's file follows from a hash of its number in the log, a held-out row's from the stretch of the log
    that it is in, so that held-out files keep the order of the log. A stretch without rows for a set gives no file.

    Attributes:
        train, calibration, test, vocabulary: how many of each.
        requests: shards of the exchange by request, an exchange of its own.
        rows: of the log.
        seed: of the training rows' hash.
    """

    train: int
    calibration: int
    test: int
    vocabulary: int
    requests: int
    rows: int
    seed: int

    @classmethod
    def of(cls, snapshot: Snapshot, config: RecapConfig) -> "ShardLayout":
        """A file for 250,000 rows, up to 4,096 a set; a log of up to 4,000,000 rows has one held-out file a set."""
        rows, split = snapshot.rows, config.data.split
        fractions = (1.0, 1.0)
        if isinstance(split, SplitByHash):  # the other splits leave held-out rows together
            fractions = (split.calibration_share, split.test_share)
        calibration, test = (
            1 if rows <= _ROWS_OF_ONE_HELD_OUT_FILE else _files(int(rows * fraction))
            for fraction in fractions
        )
        return cls(
            train=_files(rows),
            calibration=calibration,
            test=test,
            vocabulary=-(-max(rows, 1) // _ROWS_PER_VOCABULARY),
            requests=-(-max(rows, 1) // _ROWS_PER_REQUESTS),
            rows=rows,
            seed=config.data.seed,
        )

    @property
    def shards(self) -> int:
        """All shards of the exchange of rows."""
        return self._first("vocabulary") + self.vocabulary

    def split_of(self, shard: int) -> tuple[str, int] | None:
        """The set that a shard is a file of, and the file's number; None for one that counts ids."""
        for split in SPLITS:
            if shard < self._first(split) + getattr(self, split):
                return split, shard - self._first(split)
        return None

    def shards_of_rows(self, split: str, number: Numbers) -> Numbers | int:
        """The shard of each row of a set, by the rows' numbers in the log."""
        files: int = getattr(self, split)
        if files == 1:
            return self._first(split)
        if split == "train":
            file = (seeded_hash(number, self.seed + 2) % np.uint64(files)).astype(np.int64)
        else:
            file = number // -(-self.rows // files)
        return self._first(split) + file

    def shards_of_ids(self, ids: Numbers) -> Numbers:
        """The shard that counts each id."""
        return self._first("vocabulary") + _hashed(ids, self.vocabulary)

    def shards_of_requests(self, requests: Numbers) -> Numbers:
        """The shard of each request, in the exchange by request."""
        return _hashed(requests, self.requests)

    def _first(self, name: str) -> int:
        names = (*SPLITS, "vocabulary")
        return sum(getattr(self, before) for before in names[: names.index(name)])


def _files(rows: int) -> int:
    return min(max(1, -(-rows // _ROWS_PER_FILE)), _MAX_FILES)


def _hashed(numbers: Numbers, shards: int) -> Numbers:
    return (seeded_hash(numbers, 0) % np.uint64(shards)).astype(np.int64)
