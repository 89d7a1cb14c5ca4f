"""Training whose process is killed at any moment, and run again."""

import random
import signal
from pathlib import Path

import pytest

from components.common.artifacts.snapshot import Snapshot
from components.common.runtime.step import EXIT_RETRY
from components.train.checkpoints import checkpoints_of
from components.train.train import train_model
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.training import ProcessGroup
from tests.components.train.configs import resumable_config
from tests.components.train.training_process import same_model, start_training, steps_and_losses
from tests.datasets import TinySets, build_tiny
from tests.tiny import write_tiny_log

CONFIG = resumable_config(epochs=8)
KILLS = 5
MAX_DELAY_S = 0.25


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> TinySets:
    folder = tmp_path_factory.mktemp("sets")
    return build_tiny(folder, CONFIG, write_tiny_log(folder / "log"))


@pytest.fixture(scope="module")
def undisturbed(sets: TinySets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    train_model(sets.snapshot, sets.train, out)
    return out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_step_that_is_killed_again_and_again_ends_with_the_same_bits(
    number: signal.Signals, sets: TinySets, undisturbed: Path, tmp_path: Path
):
    rng, model, statuses = random.Random(int(number)), tmp_path / "model", []
    # An attempt that ends before its signal has made the model; another training then begins.
    while len(statuses) < KILLS or statuses[-1] != 0:
        process = start_training(sets, model)
        stopped = len(statuses) < KILLS
        ended = process.stop(number, rng.uniform(0.02, MAX_DELAY_S)) if stopped else process.wait()
        statuses.append(ended.status)
        if ended.status == 0:
            assert same_model(model, undisturbed)
            assert steps_and_losses(model) == steps_and_losses(undisturbed)
            assert list(tmp_path.iterdir()) == [model]
    assert set(statuses) <= {0, EXIT_RETRY, -number}
    assert sum(status != 0 for status in statuses) > 1


def test_sigterm_ends_with_a_status_of_its_own_and_says_what_to_do(sets: TinySets, tmp_path: Path):
    process = start_training(sets, tmp_path / "model")
    process.wait_for_file(tmp_path, "*.checkpoint")
    ended = process.stop(signal.SIGTERM)
    assert ended.status == EXIT_RETRY
    (line,) = ended.errors
    assert line.startswith("train: asked to stop after step ")
    assert line.endswith("has all of it; run the step again to go on")
    assert not (tmp_path / "model").exists()


def test_checkpoints_lie_where_the_environment_says(
    sets: TinySets, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RECAP_CHECKPOINTS", str(tmp_path / "kept"))
    process = start_training(sets, tmp_path / "first")
    process.wait_for_file(tmp_path / "kept", "*.checkpoint")
    assert process.stop(signal.SIGKILL).status == -signal.SIGKILL
    # Another output folder, as a new run of the same data has.
    train_model(sets.snapshot, sets.train, tmp_path / "second")
    assert same_model(tmp_path / "second", undisturbed)
    assert not (tmp_path / "kept").exists()


def test_a_checkpoint_of_another_config_is_not_taken_up(sets: TinySets, tmp_path: Path):
    process = start_training(sets, tmp_path / "model")
    process.wait_for_file(tmp_path, "*.checkpoint")
    process.stop(signal.SIGKILL)
    config = CONFIG.model_copy(update={"training": CONFIG.training.model_copy(update={"seed": 5})})
    other = build_tiny(tmp_path / "other", config, sets.snapshot.parent / "log")
    train_model(other.snapshot, other.train, tmp_path / "model")
    train_model(other.snapshot, other.train, tmp_path / "afresh")
    assert same_model(tmp_path / "model", tmp_path / "afresh")
    assert list(tmp_path.glob("model.checkpoints/*/*.checkpoint"))


def test_trainings_at_once_on_the_same_data_have_a_folder_each_and_a_killed_one_is_taken_up(
    sets: TinySets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RECAP_CHECKPOINTS", str(tmp_path / "kept"))
    snapshot, config = Snapshot.read(sets.snapshot)
    arguments = (tmp_path / "model", snapshot, config, DatasetManifest.read(sets.train), ProcessGroup())
    with checkpoints_of(*arguments) as first:
        with checkpoints_of(*arguments) as second:
            assert second.folder != first.folder
            second.write(3, {"step": 3})
        assert second.files()
        with checkpoints_of(*arguments) as third:
            assert third.folder == second.folder
            assert third.read_newest() == {"step": 3}
            third.clear()
    assert not (tmp_path / "kept").exists()
