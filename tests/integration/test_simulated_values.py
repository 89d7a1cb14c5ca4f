"""Calibrated values against their true expectation, from a simulated log to the test set's scores."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml
from numpy.typing import NDArray
from scipy import stats

from components.calibrate.calibrate import calibrate_model
from components.evaluate.evaluate import evaluate_model
from components.train.train import train_model
from pipeline.simulator import write_log
from recap_model.config import RecapConfig, parse_config
from tests.datasets import build_tiny

CONFIG = Path(__file__).parents[2] / "pipeline" / "configs" / "sample.yaml"
DAYS, ROWS_A_DAY, DECILES = 4, 20_000, 10
LOSSES = ("huber", "mae", "mse", "tweedie")
LAST_DAY = "date=2026-03-04"
Numbers = NDArray[np.float64]


def dwell_config() -> RecapConfig:
    """The sample's config with the log's dwell time as a value task by each loss, and one binary task."""
    content = yaml.safe_load(CONFIG.read_text())
    content["tasks"] = {"like": {"label": "recap.engagement.is_favorited"}}
    for loss in LOSSES:
        task = {"kind": "value", "label": "dwell_s", "loss": loss, "scale": 5.0, "score_weight": 0.0}
        content["tasks"][loss] = task | ({"power": 1.5} if loss == "tweedie" else {})
    content["data"] = {"days": DAYS, "split": content["data"]["split"]}
    content["training"]["epochs"] = 1
    content["evaluation"] = {"bootstrap_replicates": 1}
    return parse_config(content)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Numbers], Numbers]:
    """The test rows' calibrated values by task, their labels as ``label``, and their true expectations."""
    folder = tmp_path_factory.mktemp("truth")
    start = date(2026, 3, 1)
    write_log(
        folder / "log",
        rows=DAYS * ROWS_A_DAY,
        days=DAYS,
        start=start,
        drift=0.0,
        truth=True,
        history=True,
    )
    sets = build_tiny(folder / "run", dwell_config(), folder / "log")
    train_model(sets.snapshot, sets.train, folder / "model")
    calibrate_model(sets.snapshot, folder / "model", sets.calibration, folder / "calibrated")
    evaluate_model(sets.snapshot, folder / "calibrated", sets.test, sets.validated, folder / "evaluation")
    scored = pq.read_table(folder / "evaluation" / "scores.parquet")
    log = ds.dataset(folder / "log" / LAST_DAY).to_table(columns=["request_id", "post_id"])
    truth = ds.dataset(folder / "log" / "_truth" / LAST_DAY).to_table(columns=["truth.dwell_s"])
    ids = zip(log["request_id"].to_pylist(), log["post_id"].to_pylist(), strict=True)
    expected = dict(zip(ids, truth["truth.dwell_s"].to_pylist(), strict=True))
    rows = zip(scored["request"].to_pylist(), scored["candidate"].to_pylist(), strict=True)
    values = {loss: scored[f"candidate/{loss}"].to_numpy().astype(float) for loss in LOSSES}
    values["label"] = scored["label/huber"].to_numpy().astype(float)
    return values, np.array([expected[row] for row in rows])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_calibrated_mean_of_every_decile_is_the_true_one_within_sampling_noise(
    loss: str, scores: tuple[dict[str, Numbers], Numbers]
):
    values, truth = scores
    predicted, label = values[loss], values["label"]
    assert len(truth) == ROWS_A_DAY
    errors = []
    for rows in np.array_split(np.argsort(predicted, kind="stable"), DECILES):
        assert len(rows) >= 2_000
        # Of the test rows' expectations, and of the labels that as many calibration rows had.
        variance = np.var(truth[rows] - predicted[rows]) + np.var(label[rows] - predicted[rows])
        errors.append((predicted[rows] - truth[rows]).mean() / np.sqrt(variance / len(rows)))
    assert np.abs(errors).max() < 4.0, errors
    assert np.square(errors).sum() < stats.chi2.isf(0.001, DECILES), errors
