"""The score table: every test row's labels and the predictions of candidate, champion and anchor."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.common.storage.parquet import batches_of
from recap_model.config import RecapConfig
from recap_model.config.reading.errors import in_one_line, printable
from recap_model.data.log.column_roles import form_of
from recap_model.data.log.values import LARGEST_WEIGHT

ID_KEYS = ("request", "user", "candidate")
KEYS = (*ID_KEYS, "impressed")
_OTHERS = ("champion", "anchor")
_ID_FORMS = ("integer", "boolean", "text", "binary", "null")
_ROW_GROUP = 1 << 17
# Of a row, divided by the lowest sampling rate; sums of larger ones overflow.
_LARGEST_WEIGHT = LARGEST_WEIGHT * 1e9

# Invalid values of a column by the prefix of its name, and what is allowed.
_REFUSED: dict[str, tuple[Callable[[NDArray[np.floating]], NDArray[np.bool_]], str]] = {
    "label": (
        lambda values: (values != 0) & (values != 1) & ~np.isnan(values),
        "a label is 0 or 1, or NaN where it is missing",
    ),
    "weight": (
        lambda values: ~((values >= 0) & (values <= _LARGEST_WEIGHT)),
        f"a weight is a number from 0 to {_LARGEST_WEIGHT:g}",
    ),
    "candidate": (lambda values: (values < 0) | (values > 1), "a probability is 0 to 1"),
    "champion": (lambda values: (values < 0) | (values > 1), "a probability is 0 to 1"),
    "anchor": (lambda values: (values < 0) | (values > 1), "a probability is 0 to 1"),
}
# Those of a value task.
_REFUSED_VALUES: dict[str, tuple[Callable[[NDArray[np.floating]], NDArray[np.bool_]], str]] = {
    "label": (
        lambda values: ~((values >= 0) & (values < np.inf) | np.isnan(values)),
        "the label of a value task is 0 or more, or NaN where it is missing",
    ),
    "weight": _REFUSED["weight"],
    "candidate": (lambda values: values < 0, "a value is 0 or more"),
    "champion": (lambda values: values < 0, "a value is 0 or more"),
    "anchor": (lambda values: values < 0, "a value is 0 or more"),
}


@dataclass(frozen=True)
class ScoreTable:
    """A table on disk, in the order of the test rows.

    Columns: known ids and timestamps; ``slice/NAME`` (bool); by task ``label/TASK`` (NaN where it is missing),
    ``weight/TASK`` (corrects for sampling), ``candidate/TASK`` and ``champion/TASK`` (calibrated probabilities, or
    values of ``value_tasks``; NaN for a task that the champion does not have); ``score/candidate`` and
    ``score/champion``, the weighted scores. Floats are float32. Without a champion there are no champion columns, and
    without an anchor, or where it is the champion, no ``anchor/TASK`` and ``score/anchor``.
    """

    path: Path
    rows: int
    tasks: list[str]
    slices: list[str]
    names: list[str]
    value_tasks: tuple[str, ...] = ()

    @property
    def binary_tasks(self) -> list[str]:
        return [task for task in self.tasks if task not in self.value_tasks]

    @property
    def models(self) -> list[str]:
        return ["candidate", *(name for name in _OTHERS if f"score/{name}" in self.names)]

    def batches(self, columns: list[str], rows: int = _ROW_GROUP) -> Iterator[pa.RecordBatch]:
        """Columns of all rows, in batches of at most ``rows`` rows.

        Raises:
            ValueError: the file cannot be read, or a label, a weight or a probability is invalid; it names file,
                column and row.
        """
        done = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in batches_of(file, rows, columns):
                    self._check(batch, done)
                    yield batch
                    done += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{self.path}: cannot be read ({in_one_line(error)}); run evaluate again"
            ) from None

    def read(self, columns: list[str]) -> pa.RecordBatch:
        """Columns of all rows in memory, checked as by `batches`."""
        batches = list(self.batches(columns))
        if not batches:
            schema = pq.read_schema(self.path)
            return pa.RecordBatch.from_pylist([], pa.schema([schema.field(name) for name in columns]))
        return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]

    def _check(self, batch: pa.RecordBatch, done: int) -> None:
        for name in batch.schema.names:
            kind, column = name.split("/")[0], batch.column(name)
            if kind == "slice" and column.null_count:
                refused, allowed = np.asarray(column.is_null()), "a slice is true or false"
            elif kind in _REFUSED and name != kind:
                rules = _REFUSED_VALUES if name.partition("/")[2] in self.value_tasks else _REFUSED
                refuses, allowed = rules[kind]
                refused = refuses(column.to_numpy(zero_copy_only=False))
            else:
                continue
            if refused.any():
                row = int(np.argmax(refused))
                raise ValueError(
                    f"{self.path}: column {printable(name)}, row {done + row}: is {column[row].as_py()}; {allowed}; "
                    "run evaluate again"
                )


@contextmanager
def open_score_writer(path: Path) -> Iterator["ScoreWriter"]:
    """A writer of a score table; the file is complete when the block ends."""
    writer = ScoreWriter(path)
    try:
        yield writer
    finally:
        writer.close()


class ScoreWriter:
    """Buffers batches of any size and writes them in large row groups."""

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


def to_numpy(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """A column of a batch: (rows,)."""
    column: NDArray[Any] = batch.column(name).to_numpy(zero_copy_only=False)
    return column


def read_scores(path: str | Path, config: RecapConfig) -> ScoreTable:
    """Open a score table, for the tasks and slices of a config.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a score table, or lacks a task or a slice that the config names.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no score table; give the scores.parquet of an evaluation, or run evaluate again"
        )
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not Parquet: {in_one_line(error)}; run evaluate again") from None
    names = schema.names
    tasks, slices = list(config.tasks), [wanted.name for wanted in config.evaluation.slices]
    needed = [f"{kind}/{task}" for kind in ("label", "weight", "candidate") for task in tasks]
    needed += [f"slice/{name}" for name in slices] + ["score/candidate"]
    for model in _OTHERS:
        if f"score/{model}" in names:
            needed += [f"{model}/{task}" for task in tasks]
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise ValueError(
            f"{path}: has no column {', '.join(lacking)}; replay with the tasks and slices that it was evaluated with"
        )
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(
            f"{path}: has more than one column {printable(', '.join(twice))}; run evaluate again"
        )
    for name in [
        name for name in (*needed, *(f"score/{model}" for model in _OTHERS), *ID_KEYS) if name in names
    ]:
        kind = schema.field(name).type
        allowed = _ID_FORMS if name in ID_KEYS else ("boolean",) if name.startswith("slice/") else ("float",)
        if form_of(kind) not in allowed:
            raise ValueError(
                f"{path}: column {name}: is {kind}, which evaluate does not write; run evaluate again"
            )
    return ScoreTable(path, rows, tasks, slices, names, tuple(config.value_tasks))
