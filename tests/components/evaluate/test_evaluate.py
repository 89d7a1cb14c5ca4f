"""Evaluate over a trained tiny model: the same rows for both models, a sealed decision, a page."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.artifacts.decision import Decision
from components.artifacts.snapshot import MANIFEST_NAME, Champion, Snapshot
from components.calibrate.calibrate import calibrate_model
from components.evaluate import scores as scores_module
from components.evaluate.bootstrap import bootstrap_rce
from components.evaluate.evaluate import evaluate_model
from components.evaluate.headline import headline, roc_points
from components.evaluate.scores import score_test_set
from components.train.train import train_model
from recap_model import metrics
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinySets, Path]:
    """Sets of a tiny log, and a calibrated model."""
    folder = tmp_path_factory.mktemp("evaluate")
    sets = build_tiny(folder, tiny_config(), write_tiny_log(folder / "log", rows=400))
    train_model(sets.snapshot, sets.train, folder / "model")
    calibrate_model(sets.snapshot, folder / "model", sets.calibration, folder / "calibrated")
    return sets, folder / "calibrated"


def test_a_first_run_is_measured_decided_and_written_whole(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    decision = evaluate_model(sets.snapshot, model, sets.test, tmp_path / "out", tmp_path / "page")
    assert decision.outcome == "PROMOTE"
    assert Decision.read(tmp_path / "out") == decision
    table = pq.read_table(tmp_path / "out" / "scores.parquet")
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert table.num_rows == measured["rows"] == 400
    columns = (table[f"{kind}/like"].to_numpy() for kind in ("label", "candidate", "weight"))
    assert measured["tasks"]["like"]["auc"] == pytest.approx(metrics.auc(*columns))
    assert (tmp_path / "page").read_text() == (tmp_path / "out" / "report.html").read_text()
    assert set(headline(tmp_path / "out")) == {"rows", "auc/like", "rce/like", "auc/reply", "rce/reply"}
    assert all(np.isfinite(values).all() for values in roc_points(tmp_path / "out"))


def test_a_decision_changed_by_hand_is_refused(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    evaluate_model(sets.snapshot, model, sets.test, tmp_path / "out")
    path = tmp_path / "out" / "decision.json"
    path.write_text(path.read_text().replace('"PROMOTE"', '"HOLD"'))
    with pytest.raises(ValueError, match="changed after it was decided"):
        Decision.read(tmp_path / "out")


def test_a_model_compared_with_itself_differs_nowhere(built: tuple[TinySets, Path]):
    sets, model = built
    scores = score_test_set(model, sets.test, tiny_config(), model)
    assert np.array_equal(scores.candidate, scores.champion)
    replicates = bootstrap_rce(scores, 50, seed=1)
    assert np.array_equal(replicates.candidate, replicates.champion)


def test_the_bootstrap_spreads_as_much_as_resampled_users_do(built: tuple[TinySets, Path]):
    sets, model = built
    scores = score_test_set(model, sets.test, tiny_config(), None)
    ours = bootstrap_rce(scores, 2000, seed=1).candidate[:, 0]
    random, plain = np.random.default_rng(2), []
    rows = (scores.labels[:, 0], scores.candidate[:, 0])
    for _ in range(500):
        counts = random.poisson(1.0, 20)[scores.users].astype(float)
        plain.append(metrics.relative_cross_entropy(*rows, counts))
    assert ours.mean() == pytest.approx(np.mean(plain), abs=0.5)
    assert ours.std() == pytest.approx(np.std(plain), rel=0.15)


def test_a_champion_that_cannot_be_had_makes_an_error_not_a_crash(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    snapshot, config = Snapshot.read(sets.snapshot)
    folder = tmp_path / "snapshot"
    folder.mkdir()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    changed = snapshot.model_copy(update={"champion": Champion(version="7", run_id="x"), "tracking_uri": uri})
    (folder / MANIFEST_NAME).write_text(changed.model_dump_json())
    (folder / "config.json").write_text(config.model_dump_json())
    decision = evaluate_model(folder, model, sets.test, tmp_path / "out")
    assert decision.outcome == "ERROR"
    assert "version 7 of tiny" in decision.reason


def test_a_broken_champion_model_is_told_from_a_broken_candidate(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    (tmp_path / "empty").mkdir()
    with pytest.raises(scores_module.ChampionError, match="the champion cannot be loaded"):
        score_test_set(model, sets.test, tiny_config(), tmp_path / "empty")
