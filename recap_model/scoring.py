"""Score rows under the log's column names."""

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap_model.config import RecapConfig
from recap_model.config.data.features import EMBEDDING_GROUPS, FeaturesConfig
from recap_model.config.reading.errors import printable
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.sequences import RaggedColumns, pad_sequence, repeats_previous
from recap_model.data.log.feature_groups import read_groups
from recap_model.data.log.id_lists import IdLists, pad_lists, read_lists
from recap_model.data.log.schema import check_request
from recap_model.data.log.sequences import read_sequences
from recap_model.model.ranking_model import MultiTaskRankingModel


def score_rows(
    model: MultiTaskRankingModel,
    rows: pa.RecordBatch | pa.Table,
    weights: Tensor | None = None,
    where: str = "input",
    history: pa.Table | None = None,
) -> NDArray[np.float32]:
    """Each task's calibrated probability, and the score.

    A column of `optional_columns` that is not there reads as null in every row: an embedding of zeros. Neighbouring
    rows with equal histories read one, which is encoded once.

    Args:
        weights: (tasks + further terms,) of the score, instead of the model's own; see `score_weights`.
        history: one row with the `history_columns`, for all rows, which then need none of them.
        where: names the rows in errors.

    Returns:
        (rows, tasks + 1); the last column is the score.

    Raises:
        ValueError: a column is missing, twice there or not of its group's type; the message names it.
    """
    config = config_of(model)
    features = config.features
    check_request(rows.schema, config, where)
    for column in optional_columns(features):
        if column not in rows.schema.names:
            rows = rows.append_column(column, pa.nulls(rows.num_rows))
    groups = read_groups(rows, features, where)
    tensors: dict[str, Any] = {
        name: torch.from_numpy(np.require(array, requirements="W")) for name, array in groups.items()
    }
    every = np.arange(rows.num_rows)
    sparse = {
        name: torch.from_numpy(pad_lists([(IdLists.of(lists), every)]))
        for name, lists in read_lists(rows, features, where).items()
    }
    if history is None:
        sequences, history_row = _read_histories(rows, features, where)
    else:
        check_request(history.schema, config, "history")
        sequences, _ = _read_histories(history, features, "history")
        history_row = torch.zeros(rows.num_rows, dtype=torch.int64)
    with torch.inference_mode():
        batch = RecapBatch(
            **tensors, sparse=sparse or None, sequences=sequences or None, history_row=history_row
        )
        outputs = model(batch)
        probabilities = outputs["calibrated_probabilities"]
        score = outputs["score"] if weights is None else model.weigh(probabilities, weights)
        return torch.cat([probabilities, score.unsqueeze(1)], dim=1).float().numpy()


def _read_histories(
    rows: pa.RecordBatch | pa.Table, features: FeaturesConfig, where: str
) -> tuple[dict[str, dict[str, Tensor]], Tensor | None]:
    """Each sequence of the rows, as `RecapBatch.sequences` has them, and which of them each row reads."""
    sequences = features.all_sequences()
    if not sequences:
        return {}, None
    lists = pa.record_batch(read_sequences(rows, sequences, features.timestamps.impressed, where))
    ragged = {name: RaggedColumns.of(lists, name, sequence) for name, sequence in sequences.items()}
    first = np.logical_or.reduce([~repeats_previous(columns) for columns in ragged.values()])
    distinct = np.flatnonzero(first)
    shared = len(distinct) < rows.num_rows
    padded = {
        name: pad_sequence([(ragged[name], distinct)], sequence) for name, sequence in sequences.items()
    }
    tensors = {
        name: {key: torch.from_numpy(array) for key, array in arrays.items()}
        for name, arrays in padded.items()
    }
    return tensors, torch.from_numpy(np.cumsum(first) - 1) if shared else None


def config_of(model: MultiTaskRankingModel) -> RecapConfig:
    """The whole config that a model was saved with. Raises ValueError if it was saved without."""
    if not isinstance(model.config, RecapConfig):
        raise ValueError("the model was saved without its feature schema; save it with the whole config")
    return model.config


def optional_columns(features: FeaturesConfig) -> list[str]:
    """Columns that rows to score may lack: embeddings, which other models have to have made first."""
    return [column for group in EMBEDDING_GROUPS for column in features.group_columns(group)]


def history_columns(features: FeaturesConfig) -> list[str]:
    """Columns of a request's histories: the lists, and the time of the impression where events have times."""
    sides = [side for sequence in features.all_sequences().values() for side in sequence.columns.values()]
    columns, impressed = [side.column for side in sides], features.timestamps.impressed
    if impressed is not None and any(side.kind == "time" for side in sides):
        columns.append(impressed)
    return columns


_LARGEST = float(torch.finfo(torch.float32).max)


def score_weights(model: MultiTaskRankingModel, changed: Mapping[str, float]) -> Tensor | None:
    """The model's weights of the score with some of them replaced, (tasks + further terms,); None if none is.

    Raises ValueError for an unknown task or term, or a weight that is not finite.
    """
    if not changed:
        return None
    if not isinstance(changed, Mapping):
        raise ValueError(f"weights: {printable(str(changed)[:100])}: give a mapping of tasks to weights")
    names = [*model.tasks, *model.score_terms]
    weights = model.score_weights.clone()
    if model.score_terms:
        weights = torch.cat([weights, model.term_weights])
    for task, weight in changed.items():
        if task not in names:
            terms = f"; terms: {', '.join(model.score_terms)}" if model.score_terms else ""
            raise ValueError(f"weights: unknown task {task!r}; tasks: {', '.join(model.tasks)}{terms}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) <= _LARGEST:
            raise ValueError(
                f"weights: {task} is {reprlib.repr(weight)}; a weight is a finite number of float32"
            )
        weights[names.index(task)] = weight
    return weights


def iter_slices(rows: pa.Table, at_once: int) -> Iterator[pa.Table]:
    """A table in slices of at most that number of rows."""
    for start in range(0, rows.num_rows, at_once):
        yield rows.slice(start, at_once)
