"""Training whose process is killed at any moment, and run again."""

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from components.artifacts.door import step
from components.train.train import train_model
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log

TOWER = {"mlp_config": {"layer_sizes": [8, 1], "batch_norm": {"momentum": 0.1}, "dropout": {"rate": 0.2}}}
CONFIG = tiny_config(
    model={
        "featurization_config": {"double_norm_log_config": {"clip_magnitude": 5.0}},
        "multi_task_type": "share_all",
        "backbone": {"mlp_config": {"layer_sizes": [16], "final_layer_activation": True}},
        "tower": TOWER,
    },
    training={"batch_size": 16, "epochs": 8, "checkpoint": {"every_steps": 10}, "ema_decay": 0.99},
)
TRY_AGAIN = 75


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> TinySets:
    folder = tmp_path_factory.mktemp("sets")
    return build_tiny(folder, CONFIG, write_tiny_log(folder / "log"))


@pytest.fixture(scope="module")
def undisturbed(sets: TinySets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    train_model(sets.snapshot, sets.train, out)
    return out


def start(sets: TinySets, out: Path) -> int:
    """Run the step in a process of its own; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 99
    with (out.parent / "said").open("a") as said, contextlib.redirect_stdout(said):
        try:
            with step("train"):
                train_model(sets.snapshot, sets.train, out)
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    os._exit(status)


def end_of(child: int) -> int:
    """Exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def same_model(left: Path, right: Path) -> bool:
    names = ("weights.safetensors", "config.json")
    return all((left / name).read_bytes() == (right / name).read_bytes() for name in names)


def steps_and_losses(model: Path) -> list[tuple[int, float]]:
    lines = (json.loads(line) for line in (model / "training.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_step_that_is_killed_again_and_again_ends_with_the_same_bits(
    number: signal.Signals, sets: TinySets, undisturbed: Path, tmp_path: Path
):
    moments, ends = random.Random(int(number)), []
    out = tmp_path / "model"
    while not ends or ends[-1] != 0:
        child = start(sets, out)
        if len(ends) < 5:
            time.sleep(moments.uniform(0.02, 0.25))
            os.kill(child, number)
        ends.append(end_of(child))
    assert set(ends[:-1]) <= {TRY_AGAIN, -number}
    assert len(ends) > 2
    assert same_model(out, undisturbed)
    assert steps_and_losses(out) == steps_and_losses(undisturbed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "said"]


def test_sigterm_ends_with_a_status_of_its_own_and_says_what_to_do(sets: TinySets, tmp_path: Path):
    child = start(sets, tmp_path / "model")
    while not (tmp_path / "model.checkpoints").exists():
        time.sleep(0.01)
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
    while not list((tmp_path / "kept").glob("*/*.checkpoint")):
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    assert end_of(child) == -signal.SIGKILL
    # Another output folder, as a new run of the same data has.
    train_model(sets.snapshot, sets.train, tmp_path / "second")
    assert same_model(tmp_path / "second", undisturbed)
    assert not (tmp_path / "kept").exists()


def test_a_checkpoint_of_another_config_is_not_taken_up(sets: TinySets, tmp_path: Path):
    child = start(sets, tmp_path / "model")
    while not list(tmp_path.glob("model.checkpoints/*/*.checkpoint")):
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    end_of(child)
    config = CONFIG.model_copy(update={"training": CONFIG.training.model_copy(update={"seed": 5})})
    other = build_tiny(tmp_path / "other", config, sets.snapshot.parent / "log")
    train_model(other.snapshot, other.train, tmp_path / "model")
    train_model(other.snapshot, other.train, tmp_path / "afresh")
    assert same_model(tmp_path / "model", tmp_path / "afresh")
    assert list(tmp_path.glob("model.checkpoints/*/*.checkpoint"))
