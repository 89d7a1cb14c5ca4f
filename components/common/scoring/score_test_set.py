"""Score the test set by candidate, champion and anchor, batches in parallel, into the score table."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from components.common.artifacts.model_manifest import ModelManifest
from components.common.artifacts.score_table import KEYS, ScoreTable, open_score_writer, read_scores
from components.common.runtime.step import progress
from components.common.scoring.champion_adapter import ComparedModel
from components.common.scoring.threads import scoring_threads
from components.common.scoring.uncalibrated import UncalibratedPredictions
from recap_model import load_model
from recap_model.config import RecapConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.log.slices import Quantiles, is_in_slice

_BATCH_ROWS = 4096


def score_test_set(
    model: str | Path,
    test_set: str | Path,
    config: RecapConfig,
    champion: Path | None,
    out: Path,
    anchor: ComparedModel | None = None,
    uncalibrated: UncalibratedPredictions | None = None,
) -> ScoreTable:
    """Score every row of the test set by the model, and by the champion and the anchor if any, into the file ``out``.

    Args:
        uncalibrated: receives the model's predictions before calibration.

    Raises:
        ChampionError: the champion's model cannot be loaded or cannot read the rows, as `ComparedModel` says.
        ValueError: the rows are not those that the test set's manifest names.
    """
    candidate = load_model(model)
    models = {"champion": ComparedModel(champion, config)} if champion is not None else {}
    models |= {"anchor": anchor} if anchor is not None else {}
    reader = DatasetReader(test_set, candidate.tasks, _BATCH_ROWS, config=config)
    reader.verify()
    quantiles = _quantiles(model, config)

    if uncalibrated is not None:
        uncalibrated.begin(candidate, config)

    @torch.inference_mode()
    def score(
        rows: pa.RecordBatch, batch: RecapBatch
    ) -> tuple[pa.RecordBatch, torch.Tensor | None, RecapBatch]:
        outputs = candidate(batch)
        columns = {name: rows.column(name) for name in KEYS if name in rows.schema.names}
        columns |= _slice_columns(rows, batch, config, quantiles)
        columns |= _to_arrow(_task_columns(candidate.tasks, outputs, models, batch))
        logits = None if uncalibrated is None else uncalibrated.select(candidate, outputs["logits"])
        return pa.RecordBatch.from_pydict(columns), logits, batch

    done = 0
    with scoring_threads() as threads, open_score_writer(out) as table:
        for scored, logits, batch in reader.map_batches(score, threads):
            table.write(scored)
            if uncalibrated is not None and logits is not None:
                uncalibrated.add(logits, batch)
            done += scored.num_rows
            progress(done, reader.rows, f"{done:,} of {reader.rows:,} rows scored")
    return read_scores(out, config)


def _to_arrow(columns: dict[str, torch.Tensor]) -> dict[str, pa.Array]:
    return {name: pa.array(tensor.numpy()) for name, tensor in columns.items()}


def _task_columns(
    tasks: list[str],
    outputs: Mapping[str, torch.Tensor],
    models: Mapping[str, ComparedModel],
    batch: RecapBatch,
) -> dict[str, torch.Tensor]:
    assert batch.labels is not None
    assert batch.weights is not None
    columns = {
        "label": batch.labels,
        "weight": batch.weights,
        "candidate": outputs["calibrated_probabilities"],
    }
    scores = {"score/candidate": outputs["score"]}
    for name, model in models.items():
        columns[name], scores[f"score/{name}"] = model.scores(batch, tasks)
    by_task = {
        f"{kind}/{task}": values[:, number].contiguous()
        for number, task in enumerate(tasks)
        for kind, values in columns.items()
    }
    return by_task | scores


def _quantiles(model: str | Path, config: RecapConfig) -> Quantiles:
    """Values of the training rows' quantiles that slices name, from the model's manifest."""
    columns = config.evaluation.slice_columns(quantiles_only=True)
    quantiles = ModelManifest.read(model).slice_quantiles if columns else {}
    if missing := [name for name in columns if name not in quantiles]:
        raise ValueError(
            f"{model}: has no quantiles of column {missing[0]}, which evaluation.slices names; run train again"
        )
    return quantiles


def _slice_columns(
    rows: pa.RecordBatch, batch: RecapBatch, config: RecapConfig, quantiles: Quantiles
) -> dict[str, pa.Array]:
    names = config.features.group_columns("discrete")
    values = np.empty((0, len(names)), np.int64) if batch.discrete is None else batch.discrete.numpy()
    discrete = (
        {name: values[:, place] for place, name in enumerate(names)} if values.shape[1] == len(names) else {}
    )
    return {
        f"slice/{one.name}": pa.array(is_in_slice(one, rows, discrete, quantiles))
        for one in config.evaluation.slices
    }
