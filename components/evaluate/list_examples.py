"""A few ranked lists whose top changes the most: the ids that enter and leave it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.score_table import ScoreTable, to_numpy
from recap_model import metrics
from recap_model.data.log.id_hashing import id_numbers, is_present

_MAX_LISTS = 4
_MAX_TEXT = 40  # letters of an id


@dataclass(frozen=True)
class ListExample:
    """The top k rows of one list by each model's score, the highest first, as the ids of their candidates."""

    by: str
    name: str
    rows: int
    candidate: list[str]
    champion: list[str]

    @property
    def changed(self) -> int:
        """How many of the candidate's top are not among the champion's."""
        return len(set(self.candidate) - set(self.champion))


def choose_examples(table: ScoreTable, k: int) -> list[ListExample]:
    """Lists of the table's first rows that are longer than ``k``, by the number of ids that change in the top ``k``.

    Empty without a champion, without ids of candidates, or without ids of requests or users.
    """
    by = next((name for name in ("request", "user") if name in table.names), None)
    if by is None or "candidate" not in table.names or "champion" not in table.models:
        return []
    batch = next(table.batches([by, "candidate", "score/candidate", "score/champion"]), None)
    if batch is None:
        return []
    batch = batch.filter(pa.array(is_present(batch.column(by)) & is_present(batch.column("candidate"))))
    scores = {model: to_numpy(batch, f"score/{model}") for model in ("candidate", "champion")}
    if not batch.num_rows or not all(np.isfinite(values).all() for values in scores.values()):
        return []
    _, groups, sizes = np.unique(id_numbers(batch.column(by)), return_inverse=True, return_counts=True)
    top = {model: metrics.top_k_of_groups(values, groups, k) for model, values in scores.items()}
    changed = np.bincount(groups, top["candidate"] & ~top["champion"])
    chosen = np.argsort(-np.where(sizes > k, changed, 0), kind="stable")[:_MAX_LISTS]
    return [
        _describe(batch, by, np.flatnonzero(groups == group), top, scores)
        for group in chosen
        if changed[group] and sizes[group] > k
    ]


def _describe(
    batch: pa.RecordBatch,
    by: str,
    rows: NDArray[np.int64],
    top: Mapping[str, NDArray[np.bool_]],
    scores: Mapping[str, NDArray[np.float32]],
) -> ListExample:
    lists = {}
    for model, values in scores.items():
        kept = rows[top[model][rows]]
        ordered = kept[np.argsort(-values[kept], kind="stable")]
        lists[model] = [_text(batch.column("candidate")[int(row)].as_py()) for row in ordered]
    name = _text(batch.column(by)[int(rows[0])].as_py())
    return ListExample(by, name, len(rows), lists["candidate"], lists["champion"])


def _text(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
