"""Scoring the test set by candidate and champion, side by side, batch by batch into the score table."""

from pathlib import Path

import pyarrow as pa
import torch

from components.artifacts.door import progress
from components.evaluate.scores import KEYS, ScoreTable, read_scores, writing_scores
from recap_model import load_model
from recap_model.config import RecapConfig
from recap_model.config.features import DENSE_GROUPS, FeaturesConfig
from recap_model.config.reasons import first_reason
from recap_model.data.batch import RecapBatch
from recap_model.data.reader import DatasetReader
from recap_model.model import MultiTaskRankingModel

_BATCH_ROWS = 4096


class ChampionError(ValueError):
    """The champion cannot be compared with: it does not load, or reads other inputs."""


def score_test_set(
    model: str | Path, test_set: str | Path, config: RecapConfig, champion: Path | None, out: Path
) -> ScoreTable:
    """Score every row of the test set by the model, and by the champion if there is one, into the file ``out``.

    Raises:
        ChampionError: the champion's model cannot be loaded or cannot read the rows.
        ValueError: the rows are not those that the test set's manifest names.
    """
    candidate = load_model(model)
    rival = _load_champion(champion, config) if champion is not None else None
    reader = DatasetReader(test_set, candidate.tasks, _BATCH_ROWS, config=config)
    reader.verify()
    done = 0
    with torch.inference_mode(), writing_scores(out) as table:
        for rows, batch in reader.batches_with_rows():
            columns = {name: rows.column(name) for name in KEYS if name in rows.schema.names}
            columns |= _as_arrow(_in_slices(batch, config))
            columns |= _as_arrow(_of_tasks(candidate, rival, batch))
            table.write(pa.RecordBatch.from_pydict(columns))
            done += rows.num_rows
            progress(done, reader.rows, f"{done:,} of {reader.rows:,} rows scored")
    return read_scores(out, config)


def _as_arrow(columns: dict[str, torch.Tensor]) -> dict[str, pa.Array]:
    return {name: pa.array(tensor.numpy()) for name, tensor in columns.items()}


def _of_tasks(
    candidate: MultiTaskRankingModel, rival: MultiTaskRankingModel | None, batch: RecapBatch
) -> dict[str, torch.Tensor]:
    assert batch.labels is not None
    assert batch.weights is not None
    ours = candidate(batch)
    columns = {"label": batch.labels, "weight": batch.weights, "candidate": ours["calibrated_probabilities"]}
    scores = {"score/candidate": ours["score"]}
    if rival is not None:
        columns["champion"], scores["score/champion"] = _rival_scores(rival, batch, candidate.tasks)
    by_task = {
        f"{kind}/{task}": values[:, number].contiguous()
        for number, task in enumerate(candidate.tasks)
        for kind, values in columns.items()
    }
    return by_task | scores


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
) -> tuple[torch.Tensor, torch.Tensor]:
    """The champion's probabilities of the candidate's tasks, NaN for those that it does not have, and its score."""
    try:
        outputs = rival(batch)
    except (ValueError, RuntimeError, IndexError) as error:
        raise ChampionError(f"the champion cannot read the test rows: {first_reason(error)}") from None
    theirs = outputs["calibrated_probabilities"]
    columns = [
        theirs[:, rival.tasks.index(task)] if task in rival.tasks else torch.full((len(batch),), torch.nan)
        for task in tasks
    ]
    return torch.stack(columns, dim=1), outputs["score"]
