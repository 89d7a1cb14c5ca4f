"""The score table: every test row with its labels, and what candidate and champion say of it, as Parquet."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.common.storage.parquet import batches_of
from recap_model.config import RecapConfig
from recap_model.config.errors import in_one_line, printable

KEYS = ("request", "user", "candidate", "impressed")
_ROW_GROUP = 1 << 17


@dataclass(frozen=True)
class ScoreTable:
    """A table on disk, in the order of the test rows.

    Columns: ids and timestamps as far as they are known; ``slice/NAME`` (bool); by task ``label/TASK`` (NaN where it
    is missing), ``weight/TASK`` (which brings back the natural distribution), ``candidate/TASK`` and
    ``champion/TASK`` (calibrated probabilities, NaN for a task that the champion does not have);
    ``score/candidate`` and ``score/champion``, the weighted scores. Floats are float32. Without a champion its
    columns are not there.
    """

    path: Path
    rows: int
    tasks: list[str]
    slices: list[str]
    names: list[str]

    @property
    def models(self) -> list[str]:
        return ["candidate", "champion"] if "score/champion" in self.names else ["candidate"]

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of all rows, in batches that fit into memory."""
        with pq.ParquetFile(self.path) as file:
            yield from batches_of(file, _ROW_GROUP, columns)


@contextmanager
def writing_scores(path: Path) -> Iterator["ScoreWriter"]:
    """A table to write; it is whole when the block ends."""
    writer = ScoreWriter(path)
    try:
        yield writer
    finally:
        writer.close()


class ScoreWriter:
    """Takes rows in batches of any size, and writes them in groups of many."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _ROW_GROUP:
            self._flush(batch.schema)

    def close(self) -> None:
        if self._waiting:
            self._flush(self._waiting[0].schema)
        if self._file is not None:
            self._file.close()

    def _flush(self, schema: pa.Schema) -> None:
        if self._file is None:
            # Ids and probabilities hardly repeat; dictionaries of them would cost time and save nothing.
            self._file = pq.ParquetWriter(self._path, schema, use_dictionary=False)
        self._file.write_table(pa.Table.from_batches(self._waiting), row_group_size=_ROW_GROUP)
        self._waiting, self._rows = [], 0


def read_scores(path: str | Path, config: RecapConfig) -> ScoreTable:
    """Open a score table, for the tasks and slices of a config.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no score table, or lacks a task or a slice that the config names.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no score table; give the scores.parquet of an evaluation")
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not Parquet: {in_one_line(error)}") from None
    names = schema.names
    tasks, slices = list(config.tasks), [wanted.name for wanted in config.evaluation.slices]
    needed = [f"{kind}/{task}" for kind in ("label", "weight", "candidate") for task in tasks]
    needed += [f"slice/{name}" for name in slices] + ["score/candidate"]
    if "score/champion" in names:
        needed += [f"champion/{task}" for task in tasks]
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise ValueError(
            f"{path}: has no column {', '.join(lacking)}; replay with the tasks and slices that it was evaluated with"
        )
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(f"{path}: has more than one column {printable(', '.join(twice))}; evaluate again")
    for name in [*needed, *[name for name in ("score/champion",) if name in names]]:
        kind = schema.field(name).type
        if not (pa.types.is_boolean(kind) if name.startswith("slice/") else pa.types.is_floating(kind)):
            raise ValueError(
                f"{path}: column {name}: is {kind}, which evaluate does not write; evaluate again"
            )
    return ScoreTable(path, rows, tasks, slices, names)
