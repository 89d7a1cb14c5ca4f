"""What needs all rows of a request: duplicates, and requests with rows in two sets. An exchange by request."""

import functools
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.snapshot import Snapshot
from components.common.engine import Engine, ToShards
from components.common.engine.scratch import ScratchFile, ScratchWriter, read_scratch
from components.common.storage.file_groups import FileGroup
from components.prepare.rows import read_file
from components.prepare.shards.layout import ShardLayout
from components.prepare.split import LEFT_OUT, Codes, Splitter
from recap_model.config import RecapConfig
from recap_model.data.log.column_roles import LogColumn
from recap_model.data.log.id_hashing import id_numbers, is_present, seeded_hash
from recap_model.data.log.schema import log_columns, select_columns


@dataclass(frozen=True)
class ChangedRows:
    """Rows that another row of their request moves to a later set, or that are duplicates.

    Attributes:
        number: (rows,) the rows' numbers in the log, ascending.
        code: (rows,) their sets, or `LEFT_OUT`.
    """

    number: NDArray[np.int64]
    code: Codes

    @classmethod
    def read(cls, file: ScratchFile | None) -> "ChangedRows":
        """Those of a file; none for None."""
        batches = [] if file is None else list(read_scratch(file))
        numbers = [batch["number"].to_numpy() for batch in batches]
        codes = [batch["code"].to_numpy() for batch in batches]
        return cls(
            np.concatenate([np.empty(0, np.int64), *numbers]), np.concatenate([np.empty(0, np.int8), *codes])
        )

    def apply(self, codes: Codes, first: int) -> None:
        """Change the codes of consecutive rows, the first of which has the number ``first``."""
        start, end = np.searchsorted(self.number, [first, first + len(codes)])
        codes[self.number[start:end] - first] = self.code[start:end]


def find_changed_rows(
    engine: Engine,
    groups: Sequence[FileGroup],
    kernel: "RequestRows",
    layout: ShardLayout,
    keep: str,
    scratch: str,
) -> list[ScratchFile | None]:
    """For each group the file with its changed rows, see `ChangedRows`; None if it has none.

    A request with rows in two sets is assigned to the later one, so that no ranked list is in both; rows without a
    request are assigned one by one. Rows of one request with equal candidates are duplicates; a row that lacks either
    is none. Candidates are compared by 64-bit hashes.

    Args:
        keep: of duplicates the "first" or "last" row is kept.
        scratch: folder of scratch files.

    Raises:
        FileNotFoundError, ValueError: a file of the log cannot be read; it is named.
    """
    sink = functools.partial(_Requests, scratch, keep)
    files = engine.exchange(groups, kernel, layout.requests, sink).results
    changed = [file for file in files if file is not None]
    if not changed:
        return [None] * len(groups)
    spread = functools.partial(_by_group, np.array([group.first_row for group in groups]))
    by_group = functools.partial(ScratchWriter, scratch, "changed")
    return engine.exchange(changed, spread, len(groups), by_group, keys=("number",)).results


@dataclass(frozen=True)
class RequestRows:
    """A kernel: a group's rows that have a request, by request."""

    snapshot: Snapshot
    config: RecapConfig
    splitter: Splitter
    layout: ShardLayout

    def __call__(self, group: FileGroup) -> Generator[ToShards, None, None]:
        """Yields request, candidate's hash and whether there is one, number and set of each row."""
        ids = self.config.features.ids
        assert ids.request is not None
        candidate = ids.candidate if self.config.data.deduplicate else None
        number = group.first_row
        for partition, file in group.files:
            for batch in read_file(self.snapshot, file, self._columns(candidate)):
                request = id_numbers(batch.column(ids.request))
                rows = {
                    "request": request,
                    "number": np.arange(number, number + batch.num_rows),
                    "code": self.splitter.codes(batch, partition, file),
                }
                if candidate is not None:
                    rows["candidate"] = seeded_hash(id_numbers(batch.column(candidate)), 1)
                    rows["has_candidate"] = is_present(batch.column(candidate))
                number += batch.num_rows
                chosen = is_present(batch.column(ids.request))
                if not chosen.all():
                    rows = {name: values[chosen] for name, values in rows.items()}
                yield ToShards(pa.record_batch(rows), self.layout.shards_of_requests(rows["request"]))

    def _columns(self, candidate: str | None) -> list[LogColumn]:
        named = (self.config.features.ids.request, candidate, *self.splitter.columns)
        return select_columns(log_columns(self.config), [name for name in named if name])


class _Requests:
    """A sink of all rows of some requests; leaves those that change in a scratch file."""

    def __init__(self, scratch: str, keep: str, shard: int) -> None:
        self._keep = keep
        self._out = ScratchWriter(scratch, "requests", shard)
        self._batches: list[pa.RecordBatch] = []

    def write(self, rows: pa.RecordBatch) -> None:
        self._batches.append(rows)

    def close(self) -> ScratchFile | None:
        table = pa.Table.from_batches(self._batches)
        rows = {name: table[name].to_numpy() for name in table.column_names}
        codes = _latest_of_request(rows["request"], rows["code"])
        if "candidate" in rows:
            codes[_duplicates(rows, self._keep)] = LEFT_OUT
        changed = np.flatnonzero(codes != rows["code"])
        if len(changed):
            self._out.write(pa.record_batch({"number": rows["number"][changed], "code": codes[changed]}))
        return self._out.close()


def _latest_of_request(request: NDArray[np.int64], code: Codes) -> Codes:
    """The latest set of each row's request."""
    order = np.argsort(request, kind="stable")
    starts = np.flatnonzero(_differs(request[order]))
    lengths = np.diff([*starts.tolist(), len(order)])
    latest = np.empty_like(code)
    latest[order] = np.repeat(np.maximum.reduceat(code[order], starts), lengths)
    return latest


def _duplicates(rows: dict[str, NDArray[np.generic]], keep: str) -> NDArray[np.int64]:
    """Indices of the rows of each request and candidate, without the one that is kept."""
    known = np.flatnonzero(rows["has_candidate"])
    request, candidate, number = (rows[name][known] for name in ("request", "candidate", "number"))
    order = np.lexsort((number, candidate, request))
    again = ~(_differs(request[order]) | _differs(candidate[order]))
    left_out = np.flatnonzero(again) - (keep == "last")
    return known[order[left_out]]


def _differs(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Whether each value differs from the one before it; the first does."""
    return np.concatenate([[True], values[1:] != values[:-1]])


def _by_group(firsts: NDArray[np.int64], file: ScratchFile) -> Generator[ToShards, None, None]:
    for batch in read_scratch(file):
        yield ToShards(batch, np.searchsorted(firsts, batch["number"].to_numpy(), side="right") - 1)
