"""Training whose process is killed at any moment, and run again."""

import os
import signal
from pathlib import Path

import pytest

from components.common.artifacts.snapshot import Snapshot
from components.train.checkpoints import checkpoints_of
from components.train.train import train_model
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.training import ProcessGroup
from tests.components.train.killing import (
    TRY_AGAIN,
    config_of,
    end_of,
    kill_again_and_again,
    same_model,
    start,
    wait_for_a_checkpoint,
)
from tests.datasets import TinySets, build_tiny
from tests.tiny import write_tiny_log

CONFIG = config_of()


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
    outcome = kill_again_and_again(sets, undisturbed, tmp_path, number, kills=5, seed=0)
    assert set(outcome.ends) <= {0, TRY_AGAIN, -number}
    assert outcome.killed > 1
    assert outcome.same_weights
    assert outcome.same_log
    assert outcome.nothing_left


def test_sigterm_ends_with_a_status_of_its_own_and_says_what_to_do(sets: TinySets, tmp_path: Path):
    child = start(sets, tmp_path / "model")
    wait_for_a_checkpoint(child, tmp_path)
    os.kill(child, signal.SIGTERM)
    assert end_of(child) == TRY_AGAIN
    said = [line for line in (tmp_path / "said").read_text().splitlines() if "recap-error" in line]
    assert len(said) == 1
    assert said[0].startswith("recap-error: train: asked to stop after step ")
    assert said[0].endswith("has all of it; run the step again to go on")
    assert not (tmp_path / "model").exists()


def test_checkpoints_lie_where_the_environment_says(
    sets: TinySets, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RECAP_CHECKPOINTS", str(tmp_path / "kept"))
    child = start(sets, tmp_path / "first")
    wait_for_a_checkpoint(child, tmp_path / "kept")
    os.kill(child, signal.SIGKILL)
    assert end_of(child) == -signal.SIGKILL
    # Another output folder, as a new run of the same data has.
    train_model(sets.snapshot, sets.train, tmp_path / "second")
    assert same_model(tmp_path / "second", undisturbed)
    assert not (tmp_path / "kept").exists()


def test_a_checkpoint_of_another_config_is_not_taken_up(sets: TinySets, tmp_path: Path):
    child = start(sets, tmp_path / "model")
    wait_for_a_checkpoint(child, tmp_path)
    os.kill(child, signal.SIGKILL)
    end_of(child)
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
