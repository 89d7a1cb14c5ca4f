"""A candidate is measured, decided on and written whole: the same rows for both models, a sealed decision, a page."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.calibrate.calibrate import calibrate_model
from components.common.artifacts.decision import Decision
from components.common.artifacts.evaluation import Evaluation
from components.common.metrics.bootstrap import METRICS
from components.common.metrics.curves import roc_points
from components.common.metrics.task_metrics import measure
from components.common.scoring.score_test_set import score_test_set
from components.common.scoring.uncalibrated import UncalibratedPredictions
from components.evaluate.evaluate import evaluate_model
from components.evaluate.gate import decide
from components.evaluate.report.curves import draw_curves
from recap_model import load_model, metrics, save_model
from recap_model.calibration import AffineCalibrator
from tests.components.evaluate.score_tables import SLICED, changed_scores
from tests.datasets import TinySets
from tests.tiny import tiny_config


def test_a_first_run_is_measured_decided_and_written_whole(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    decision = evaluate_model(
        sets.snapshot, model, sets.test, sets.validated, tmp_path / "out", tmp_path / "page"
    )
    assert decision.outcome == "PROMOTE"
    assert Decision.read(tmp_path / "out") == decision
    table = pq.read_table(tmp_path / "out" / "scores.parquet")
    evaluation = Evaluation.read(tmp_path / "out")
    assert table.num_rows == evaluation.rows == 400
    columns = (table[f"{kind}/like"].to_numpy() for kind in ("label", "candidate", "weight"))
    assert evaluation.tasks["like"].auc == pytest.approx(metrics.auc(*columns), abs=1e-12)
    assert (tmp_path / "page").read_text() == (tmp_path / "out" / "report.html").read_text()
    assert {name.split("/")[0] for name in evaluation.headline()} == {
        "auc",
        "rce",
        "log_loss",
        "calibration_ratio",
    }
    assert all(np.isfinite(values).all() for values in roc_points(tmp_path / "out", sets.snapshot))


def test_calibration_and_scores_are_the_same_bytes_by_any_number_of_threads(
    built: tuple[TinySets, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sets, _ = built
    model = sets.train.parent / "model"
    for step in ("calibrate.calibrate", "common.scoring.score_test_set"):
        monkeypatch.setattr(f"components.{step}._BATCH_ROWS", 30)
    written = set()
    for threads in (1, 2, 7):
        monkeypatch.setattr("components.common.scoring.threads.cores", lambda threads=threads: threads)
        out = tmp_path / f"{threads}"
        calibrate_model(sets.snapshot, model, sets.calibration, out)
        score_test_set(out, sets.test, tiny_config(), out, tmp_path / "scores.parquet")
        report = (out / "calibration_report.json").read_text()
        written.add((report, (tmp_path / "scores.parquet").read_bytes()))
    assert len(written) == 1


def test_predictions_before_calibration_are_those_of_the_model_without_its_calibrators(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, config = built[0], tiny_config()
    trained = sets.train.parent / "model"
    calibrated = load_model(trained)
    calibrated.set_calibrators({"like": AffineCalibrator(2.0, 0.5)})
    save_model(calibrated, tmp_path / "model", config)
    before = UncalibratedPredictions()
    table = score_test_set(
        tmp_path / "model", sets.test, config, None, tmp_path / "after.parquet", uncalibrated=before
    )
    plain = score_test_set(trained, sets.test, config, None, tmp_path / "plain.parquet")
    predicted, weights = (
        pq.read_table(plain.path)[f"{kind}/like"].to_numpy() for kind in ("candidate", "weight")
    )
    assert list(before.reliability()) == ["like"]
    measured = before.reliability()["like"]
    assert measured.mean_predicted == pytest.approx(np.average(predicted, weights=weights), rel=1e-3)
    evaluation, curves = measure(table, config)
    charts = draw_curves(curves, evaluation, ["like", "reply"], config, before.reliability())
    drawn = [[entry.name for entry in chart.key] for chart in charts.reliability]
    assert ["candidate before calibration" in names for names in drawn] == [True, False]


def test_a_decision_changed_by_hand_is_refused(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    evaluate_model(sets.snapshot, model, sets.test, sets.validated, tmp_path / "out")
    path = tmp_path / "out" / "decision.json"
    path.write_text(path.read_text().replace('"PROMOTE"', '"HOLD"'))
    with pytest.raises(ValueError, match="changed after it was decided"):
        Decision.read(tmp_path / "out")


def test_a_model_compared_with_itself_differs_nowhere(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    table = score_test_set(model, sets.test, SLICED, model, tmp_path / "scores.parquet")
    content = pq.read_table(table.path)
    assert content["candidate/like"] == content["champion/like"]
    found, _ = measure(table, SLICED)
    for tasks in (found.tasks, found.slices["topic_1"].tasks):
        for task in tasks.values():
            changes = task.difference
            assert changes is not None
            assert {value for name in METRICS if (value := getattr(changes, name)) is not None} == {0.0}
            assert {error for error in changes.error.model_dump().values() if error is not None} == {0.0}
    assert found.score_psi == 0.0
    assert found.score_support is None
    assert found.lists.top_k_change == 0.0


def test_a_metric_that_is_not_defined_is_null_and_says_why(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    table = score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet")
    none, missing = np.zeros(table.rows, np.float32), np.full(table.rows, np.nan, np.float32)
    table = changed_scores(table, tiny_config(), label__like=none, label__reply=missing)
    found = measure(table, tiny_config())[0]
    assert found.tasks["like"].auc is None
    assert found.tasks["like"].undefined["auc"] == "all 400 labels are 0"
    assert found.tasks["reply"].undefined["rce"] == "no row has a label"
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(("column", "value"), [("candidate/like", np.nan), ("score/candidate", np.inf)])
def test_a_score_that_is_not_finite_is_counted_and_ends_in_an_error(
    column: str, value: float, built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    table = score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet")
    assert measure(table, tiny_config())[0].not_finite == 0
    predictions = pq.read_table(table.path)[column].to_numpy().copy()
    predictions[3] = value
    changed = changed_scores(table, tiny_config(), **{column.replace("/", "__"): predictions})
    found, _ = measure(changed, tiny_config())
    assert found.not_finite == 1
    assert decide(found, tiny_config().evaluation.gate, list(tiny_config().tasks), None)[0] == "ERROR"
