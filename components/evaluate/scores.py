"""The score table: every test row with its labels, and what candidate and champion say of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from components.artifacts.door import progress
from recap_model import load_model
from recap_model.config import RecapConfig
from recap_model.config.features import DENSE_GROUPS, FeaturesConfig
from recap_model.config.reasons import first_reason
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
        users, requests: (rows,) integers that tell users and requests apart; None without such a column.
        slices: for each configured slice, which rows are of it: (rows,) bool.
        keys: ids and timestamps.
    """

    tasks: list[str]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    candidate: NDArray[np.float32]
    candidate_score: NDArray[np.float32]
    champion: NDArray[np.float32] | None
    champion_score: NDArray[np.float32] | None
    users: NDArray[np.int64] | None
    requests: NDArray[np.int64] | None
    slices: dict[str, NDArray[np.bool_]]
    keys: dict[str, pa.ChunkedArray]

    def write(self, path: Path) -> None:
        """Write the table as Parquet: ids, slices, then label, weight and probabilities by task, then scores."""
        columns: dict[str, pa.ChunkedArray | NDArray[np.generic]] = dict(self.keys)
        columns |= {f"slice/{name}": rows for name, rows in self.slices.items()}
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


def read_scores(path: str | Path, config: RecapConfig) -> Scores:
    """Read a score table again, with the tasks and slices of a config.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no score table, or lacks a task or a slice that the config names.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no score table; give the scores.parquet of an evaluation")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not Parquet: {' '.join(str(error).split())}") from None
    tasks, slices = list(config.tasks), [wanted.name for wanted in config.evaluation.slices]
    needed = [f"{kind}/{task}" for kind in ("label", "weight", "candidate") for task in tasks]
    needed += [f"slice/{name}" for name in slices] + ["score/candidate"]
    lacking = [name for name in needed if name not in table.column_names]
    if lacking:
        raise ValueError(
            f"{path}: has no column {', '.join(lacking)}; replay with the tasks and slices that it was evaluated with"
        )

    def columns(kind: str) -> NDArray[np.float32]:
        return np.stack([table[f"{kind}/{task}"].to_numpy().astype(np.float32) for task in tasks], axis=1)

    compared = "score/champion" in table.column_names
    return Scores(
        tasks=tasks,
        labels=columns("label"),
        weights=columns("weight"),
        candidate=columns("candidate"),
        candidate_score=table["score/candidate"].to_numpy(),
        champion=columns("champion") if compared else None,
        champion_score=table["score/champion"].to_numpy() if compared else None,
        users=_codes(table, "user"),
        requests=_codes(table, "request"),
        slices={name: table[f"slice/{name}"].to_numpy().astype(bool) for name in slices},
        keys={name: table[name] for name in _KEYS if name in table.column_names},
    )


class ChampionError(ValueError):
    """The champion cannot be compared with: it does not load, or reads other inputs."""


def score_test_set(
    model: str | Path, test_set: str | Path, config: RecapConfig, champion: Path | None
) -> Scores:
    """Score every row of the test set by the model, and by the champion if there is one.

    Raises:
        ChampionError: the champion's model cannot be loaded or cannot read the rows.
        ValueError: the rows are not those that the test set's manifest names.
    """
    candidate = load_model(model)
    tasks = candidate.tasks
    rival = _load_champion(champion, config) if champion is not None else None
    reader = DatasetReader(test_set, tasks, _BATCH_ROWS, config=config)
    reader.verify()
    arrays: dict[str, NDArray[Any]] = {}
    keys: list[pa.RecordBatch] = []
    done = 0
    with torch.inference_mode():
        for rows, batch in reader.batches_with_rows():
            assert batch.labels is not None
            assert batch.weights is not None
            found = {"labels": batch.labels, "weights": batch.weights} | _in_slices(batch, config)
            outputs = candidate(batch)
            found |= {"candidate": outputs["calibrated_probabilities"], "candidate_score": outputs["score"]}
            if rival is not None:
                found |= _rival_scores(rival, batch, tasks)
            for name, tensor in found.items():
                values = tensor.numpy()
                whole = arrays.setdefault(name, np.empty((reader.rows, *values.shape[1:]), values.dtype))
                whole[done : done + len(values)] = values
            keys.append(rows.select([name for name in _KEYS if name in rows.schema.names]))
            done += rows.num_rows
            progress(done, reader.rows, f"{done:,} of {reader.rows:,} rows scored")
    table = pa.Table.from_batches(keys)
    return Scores(
        tasks=tasks,
        labels=arrays["labels"],
        weights=arrays["weights"],
        candidate=arrays["candidate"],
        candidate_score=arrays["candidate_score"],
        champion=arrays.get("champion"),
        champion_score=arrays.get("champion_score"),
        users=_codes(table, "user"),
        requests=_codes(table, "request"),
        slices={wanted.name: arrays[f"slice/{wanted.name}"] for wanted in config.evaluation.slices},
        keys={name: table[name] for name in table.column_names},
    )


def _in_slices(batch: RecapBatch, config: RecapConfig) -> dict[str, torch.Tensor]:
    columns = config.features.group_columns("discrete")
    if batch.discrete is None:
        return {}
    discrete = batch.discrete
    return {
        f"slice/{one.name}": discrete[:, columns.index(one.column)] == one.value
        for one in config.evaluation.slices
    }


def _load_champion(folder: Path, config: RecapConfig) -> MultiTaskRankingModel:
    try:
        rival = load_model(folder)
    except (ValueError, OSError, KeyError) as error:
        raise ChampionError(f"the champion cannot be loaded: {first_reason(error)}") from None
    if isinstance(rival.config, RecapConfig):
        for group in (*DENSE_GROUPS, "sparse"):
            theirs, ours = (_columns(one.features, group) for one in (rival.config, config))
            if theirs and theirs != ours:
                raise ChampionError(
                    f"the champion reads other columns of {group} than this config names, so it cannot be scored "
                    "on these rows; promote by hand to change features"
                )
    return rival


def _columns(features: FeaturesConfig, group: str) -> list[str]:
    return list(features.sparse) if group == "sparse" else features.group_columns(group)


def _rival_scores(
    rival: MultiTaskRankingModel, batch: RecapBatch, tasks: list[str]
) -> dict[str, torch.Tensor]:
    try:
        outputs = rival(batch)
    except (ValueError, RuntimeError, IndexError) as error:
        raise ChampionError(f"the champion cannot read the test rows: {first_reason(error)}") from None
    theirs = outputs["calibrated_probabilities"]
    columns = [
        theirs[:, rival.tasks.index(task)] if task in rival.tasks else torch.full((len(batch),), torch.nan)
        for task in tasks
    ]
    return {"champion": torch.stack(columns, dim=1), "champion_score": outputs["score"]}


def _codes(table: pa.Table, column: str) -> NDArray[np.int64] | None:
    """Integers from 0 that are equal where the column is; rows without an entry share one."""
    if column not in table.column_names:
        return None
    encoded = table[column].combine_chunks().dictionary_encode()
    return encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
