"""The calibration step, from a trained model to a calibrated one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from components.calibrate.calibrate import calibrate_model, folds_of
from components.common.artifacts.model_manifest import ModelManifest
from components.train.train import train_model
from recap_model import load_model
from recap_model.config import RecapConfig
from recap_model.data.dataset.reader import DatasetReader
from tests.components.snapshots import snapshot_of
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log

TRAINING = {"batch_size": 256, "epochs": 3}
CONFIG = tiny_config(training=TRAINING, calibration={"tasks": {"like": "piecewise", "reply": "platt"}})


def train_tiny(folder: Path, config: RecapConfig, rows: int) -> TinySets:
    sets = build_tiny(folder, config, write_tiny_log(folder / "log", rows=rows))
    train_model(sets.snapshot, sets.train, folder / "model")
    return sets


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> TinySets:
    folder = tmp_path_factory.mktemp("sets")
    made = train_tiny(folder, CONFIG, rows=1500)
    calibrate_model(
        made.snapshot, folder / "model", made.calibration, folder / "calibrated", folder / "reliability.html"
    )
    return made


def scores(model: Path, sets: TinySets) -> dict[str, torch.Tensor]:
    """What a model says of the test rows."""
    reader = DatasetReader(sets.test, ["like", "reply"], 10_000, config=CONFIG)
    with torch.no_grad():
        return load_model(model)(next(reader.batches()))


def test_rows_of_a_user_share_a_fold_and_rows_without_one_are_spread():
    users = pa.array([7, None, 8, 7, None, None, 7, None, None, None])
    folds = folds_of(pa.record_batch({"user": users}), first=3, folds=5)
    assert len(set(folds[[0, 3, 6]].tolist())) == 1
    assert set(folds[[1, 4, 5, 7, 8, 9]].tolist()) == {0, 1, 2, 3, 4}


def test_calibrators_are_inside_the_saved_model_and_change_no_order(sets: TinySets):
    before, after = (scores(sets.snapshot.parent / name, sets) for name in ("model", "calibrated"))
    assert torch.equal(before["logits"], after["logits"])
    for number in range(2):
        raw, calibrated = (outputs["calibrated_probabilities"][:, number] for outputs in (before, after))
        assert not torch.equal(raw, calibrated)
        ascending = before["logits"][:, number].double().argsort()
        assert (calibrated[ascending].diff() >= 0).all()
        assert len(calibrated.unique()) >= 0.999 * len(before["logits"][:, number].unique())


def test_log_loss_on_the_calibration_set_is_never_worse_after(sets: TinySets):
    report = json.loads((sets.snapshot.parent / "calibrated/calibration_report.json").read_text())
    assert {task: entry["method"] for task, entry in report.items()} == {
        "like": "piecewise",
        "reply": "platt",
    }
    for entry in report.values():
        assert entry["after"]["log_loss"] <= entry["before"]["log_loss"] + 1e-9
        assert entry["after"]["predicted_over_observed"] == pytest.approx(1.0, abs=2e-3)
        assert entry["rows"] == 1500


def test_the_report_is_that_of_the_rows_themselves(sets: TinySets):
    report = json.loads((sets.snapshot.parent / "calibrated/calibration_report.json").read_text())
    reader = DatasetReader(sets.calibration, ["like", "reply"], 10_000, config=CONFIG)
    batch = next(reader.batches())
    assert batch.labels is not None
    with torch.no_grad():
        probabilities = load_model(sets.snapshot.parent / "calibrated")(batch)["calibrated_probabilities"]
    losses = torch.nn.functional.binary_cross_entropy(probabilities, batch.labels, reduction="none").mean(
        dim=0
    )
    for number, task in enumerate(("like", "reply")):
        assert report[task]["after"]["log_loss"] == pytest.approx(losses[number].item(), abs=1e-4)
        assert report[task]["positives"] == batch.labels[:, number].sum().item()


def test_the_manifest_names_the_calibration_set_and_keeps_the_training(sets: TinySets):
    trained, calibrated = (
        ModelManifest.read(sets.snapshot.parent / name) for name in ("model", "calibrated")
    )
    assert calibrated.calibration_set is not None
    assert calibrated.model_copy(update={"calibration_set": None, "files": trained.files}) == trained
    assert calibrated.files["training.jsonl"] == trained.files["training.jsonl"]
    assert "calibration_report.json" in calibrated.files


def test_the_reliability_page_has_a_diagram_for_each_task_and_needs_nothing_else(sets: TinySets):
    page = (sets.snapshot.parent / "reliability.html").read_text()
    assert page.count('role="img"') == 2
    assert "http" not in page
    assert "<script src" not in page
    assert "<link" not in page


@pytest.mark.parametrize("correction", ["weights", "calibration"])
def test_the_sampling_of_training_rows_is_undone_exactly_once(correction: str, tmp_path: Path):
    sampling = {"rate": 0.2, "tasks": ["like", "reply"]}
    config = tiny_config(
        training=TRAINING,
        calibration={"method": "platt"},
        data={"days": 5, "negative_downsampling": sampling, "sampling_correction": correction},
    )
    sets = train_tiny(tmp_path, config, rows=3000)
    before = calibrate_model(sets.snapshot, tmp_path / "model", sets.calibration, tmp_path / "calibrated")
    for task in before:
        # Not undone, or twice, it would be off by the factor that the rates of a task's negatives give: over 2.
        assert task.before.mean_predicted == pytest.approx(task.before.mean_observed, rel=0.15)
        assert task.after.mean_predicted == pytest.approx(task.after.mean_observed, rel=0.01)


def test_the_logs_own_sampling_is_undone_in_the_calibrated_probabilities(tmp_path: Path):
    tasks = {"like": {"neg_downsampling_rate": 0.05}, "reply": {"neg_downsampling_rate": 0.5}}
    config = tiny_config(
        tasks=tasks, training=TRAINING, data={"days": 5, "sampling_correction": "calibration"}
    )
    sets = train_tiny(tmp_path, config, rows=1500)
    reports = calibrate_model(sets.snapshot, tmp_path / "model", sets.calibration, tmp_path / "calibrated")
    reader = DatasetReader(sets.calibration, ["like", "reply"], 10_000, config=config)
    labels = next(reader.batches()).labels
    assert labels is not None
    for number, (report, rate) in enumerate(zip(reports, (0.05, 0.5), strict=True)):
        positives = labels[:, number].sum().item()
        natural = positives / (positives + (len(labels) - positives) / rate)
        assert report.before.mean_observed == pytest.approx(natural, rel=1e-5)
        assert report.before.mean_predicted == pytest.approx(natural, rel=0.15)


def test_a_task_with_too_few_positives_keeps_the_analytic_correction_and_the_report_says_so(tmp_path: Path):
    sets = train_tiny(tmp_path, tiny_config(calibration={"min_positives": 100}), rows=200)
    reports = calibrate_model(sets.snapshot, tmp_path / "model", sets.calibration, tmp_path / "calibrated")
    assert [report.calibration.calibrator for report in reports] == [None, None]
    assert "under calibration.min_positives 100" in reports[0].calibration.reason
    assert json.loads((tmp_path / "calibrated/calibration.json").read_text()) == {}


def test_rows_of_a_user_share_a_fold_where_users_are_known():
    user = pa.array(["a", "b", "a"])
    rows = pa.RecordBatch.from_pydict({"weight": [1.0] * 3, "request": [1, 2, 3], "user": user})
    assert folds_of(rows, 0, 5)[0] == folds_of(rows, 0, 5)[2]
    np.testing.assert_array_equal(folds_of(rows.select(["weight"]), 4, 5), [4, 0, 1])


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_set_that_is_not_the_calibration_set_is_refused(sets: TinySets, name: str, tmp_path: Path):
    with pytest.raises(ValueError, match=f"is the {name} set; calibrate needs the calibration set"):
        calibrate_model(sets.snapshot, sets.snapshot.parent / "model", getattr(sets, name), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_inputs_of_another_snapshot_or_config_are_refused(sets: TinySets, tmp_path: Path):
    model = sets.snapshot.parent / "model"
    other = snapshot_of(write_tiny_log(tmp_path / "log", seed=1), CONFIG, tmp_path / "snapshot")
    with pytest.raises(ValueError, match="calibration: comes from another snapshot"):
        calibrate_model(other, model, sets.calibration, tmp_path / "out")
    config = CONFIG.model_copy(update={"training": tiny_config().training})
    changed = snapshot_of(sets.snapshot.parent / "log", config, tmp_path / "changed")
    with pytest.raises(ValueError, match="model: was trained with another config"):
        calibrate_model(changed, model, sets.calibration, tmp_path / "out")


def test_a_model_folder_without_its_manifest_is_no_model(sets: TinySets, tmp_path: Path):
    shutil.copytree(sets.snapshot.parent / "model", tmp_path / "model")
    (tmp_path / "model/_manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"_manifest.json: not there; run train again"):
        calibrate_model(sets.snapshot, tmp_path / "model", sets.calibration, tmp_path / "out")


def test_rows_with_one_altered_bit_are_refused_and_the_earlier_model_stays(sets: TinySets, tmp_path: Path):
    rows = sets.snapshot.parent / "calibration.rows" / "part-00000.arrow"
    content, model = rows.read_bytes(), sets.snapshot.parent / "model"
    place = len(content) // 2
    earlier = tmp_path / "calibrated"
    earlier.mkdir()
    try:
        rows.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match=r"part-00000\.arrow: changed since prepare wrote it"):
            calibrate_model(sets.snapshot, model, sets.calibration, earlier)
    finally:
        rows.write_bytes(content)
    assert list(tmp_path.iterdir()) == [earlier]
