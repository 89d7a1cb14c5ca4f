"""The score table: every test row with its labels, and what candidate and champion say of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from components.artifacts.door import progress
from recap_model import load_model
from recap_model.config import RecapConfig
from recap_model.data.batch import RecapBatch
from recap_model.data.reader import DatasetReader
from recap_model.model import MultiTaskRankingModel

_BATCH_ROWS = 4096
_KEYS = ("request", "user", "candidate", "impressed")


@dataclass(frozen=True)
class Scores:
    """Test rows in their order.

    Attributes:
        labels, weights: (rows, tasks) float32; NaN labels are missing, weights bring back the natural distribution.
        candidate, champion: calibrated probabilities (rows, tasks) float32; champion's columns are NaN for tasks
            that it does not have; None without a champion.
        candidate_score, champion_score: weighted scores (rows,) float32.
        users: (rows,) integers that tell users apart, or rows where there is no user column.
        discrete: (rows, width) int64, for slices.
        keys: ids and timestamps.
    """

    tasks: list[str]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    candidate: NDArray[np.float32]
    candidate_score: NDArray[np.float32]
    champion: NDArray[np.float32] | None
    champion_score: NDArray[np.float32] | None
    users: NDArray[np.int64]
    discrete: NDArray[np.int64] | None
    keys: dict[str, pa.ChunkedArray]

    def write(self, path: Path) -> None:
        """Write the table as Parquet: ids, then label, weight and probabilities of each task, then scores."""
        columns: dict[str, pa.ChunkedArray | NDArray[np.float32]] = dict(self.keys)
        for number, task in enumerate(self.tasks):
            columns[f"label/{task}"] = self.labels[:, number]
            columns[f"weight/{task}"] = self.weights[:, number]
            columns[f"candidate/{task}"] = self.candidate[:, number]
            if self.champion is not None:
                columns[f"champion/{task}"] = self.champion[:, number]
        columns["score/candidate"] = self.candidate_score
        if self.champion_score is not None:
            columns["score/champion"] = self.champion_score
        pq.write_table(pa.table(columns), path)


class ChampionError(ValueError):
    """The champion cannot be compared with: it does not load, or reads other inputs."""


def score_test_set(
    model: str | Path, test_set: str | Path, config: RecapConfig, champion: Path | None
) -> Scores:
    """Score every row of the test set by the model, and by the champion if there is one.

    Raises ChampionError if the champion's model cannot be loaded or cannot read the rows.
    """
    candidate = load_model(model)
    tasks = candidate.tasks
    rival = _load_champion(champion) if champion is not None else None
    reader = DatasetReader(test_set, tasks, _BATCH_ROWS, config=config)
    parts: dict[str, list[NDArray[np.generic]]] = {}
    keys: list[pa.RecordBatch] = []
    done = 0
    with torch.inference_mode():
        for rows, batch in reader.batches_with_rows():
            found = {"labels": batch.labels, "weights": batch.weights, "discrete": batch.discrete}
            outputs = candidate(batch)
            found |= {"candidate": outputs["calibrated_probabilities"], "candidate_score": outputs["score"]}
            if rival is not None:
                found |= _rival_scores(rival, batch, tasks)
            for name, tensor in found.items():
                if tensor is not None:
                    parts.setdefault(name, []).append(tensor.numpy())
            keys.append(rows.select([name for name in _KEYS if name in rows.schema.names]))
            done += rows.num_rows
            progress(done, reader.rows, f"{done:,} of {reader.rows:,} rows scored")
    arrays = {name: np.concatenate(values) for name, values in parts.items()}
    table = pa.Table.from_batches(keys) if keys[0].num_columns else None
    return Scores(
        tasks=tasks,
        labels=arrays["labels"],
        weights=arrays["weights"],
        candidate=arrays["candidate"],
        candidate_score=arrays["candidate_score"],
        champion=arrays.get("champion"),
        champion_score=arrays.get("champion_score"),
        users=_clusters(table, done),
        discrete=arrays.get("discrete"),
        keys={name: table[name] for name in table.column_names} if table is not None else {},
    )


def _load_champion(folder: Path) -> MultiTaskRankingModel:
    try:
        return load_model(folder)
    except (ValueError, OSError, KeyError) as error:
        raise ChampionError(f"the champion cannot be loaded: {str(error).splitlines()[0]}") from None


def _rival_scores(
    rival: MultiTaskRankingModel, batch: RecapBatch, tasks: list[str]
) -> dict[str, torch.Tensor]:
    try:
        outputs = rival(batch)
    except ValueError as error:
        raise ChampionError(f"the champion cannot read the test rows: {str(error).splitlines()[0]}") from None
    theirs = outputs["calibrated_probabilities"]
    columns = [
        theirs[:, rival.tasks.index(task)] if task in rival.tasks else torch.full((len(batch),), torch.nan)
        for task in tasks
    ]
    return {"champion": torch.stack(columns, dim=1), "champion_score": outputs["score"]}


def _clusters(table: pa.Table | None, rows: int) -> NDArray[np.int64]:
    if table is None or "user" not in table.column_names:
        return np.arange(rows)
    encoded = table["user"].combine_chunks().dictionary_encode()
    return encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
