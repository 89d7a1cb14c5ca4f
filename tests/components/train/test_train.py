"""The training step, from a built set to a saved model."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from components.common.artifacts.model_manifest import ModelManifest
from components.common.artifacts.snapshot import Champion
from components.common.registry import DIGEST_TAG, MODEL_PATH, connect, write_digests
from components.train.train import train_model
from recap_model import load_model
from recap_model.data.dataset.reader import DatasetReader
from tests.components.registries import new_registry
from tests.components.snapshots import snapshot_of
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log

CONFIG = tiny_config(training={"batch_size": 64, "epochs": 2, "log_every_steps": 5})


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> TinySets:
    folder = tmp_path_factory.mktemp("sets")
    return build_tiny(folder, CONFIG, write_tiny_log(folder / "log"))


@pytest.fixture(scope="module")
def model(sets: TinySets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "model"
    train_model(sets.snapshot, sets.train, out, out.with_name("curves.html"))
    return out


def test_a_trained_model_loads_and_its_manifest_says_what_it_was_made_from(sets: TinySets, model: Path):
    manifest = ModelManifest.read(model)
    reader = DatasetReader(sets.train, ["like", "reply"], 64, config=CONFIG)
    assert manifest.train_set == reader.manifest.fingerprint
    assert manifest.snapshot == reader.manifest.snapshot
    assert manifest.calibration_set is None
    assert manifest.steps == 2 * reader.steps
    assert manifest.rows == 2 * reader.rows
    assert set(manifest.files) == {
        "config.json",
        "data_spec.json",
        "weights.safetensors",
        "calibration.json",
        "training.jsonl",
    }
    ranking = load_model(model)
    assert ranking.config == CONFIG
    with torch.no_grad():
        assert ranking(next(reader.batches()))["probabilities"].isfinite().all()


def test_a_net_to_be_compiled_where_there_is_no_compiler_is_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = tiny_config(training={"batch_size": 64, "compile": True})
    compiled = build_tiny(tmp_path, config, write_tiny_log(tmp_path / "log"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(FileNotFoundError, match=r"^training.compile: .* needs a C\+\+ compiler") as refused:
        train_model(compiled.snapshot, compiled.train, tmp_path / "model")
    assert "\n" not in str(refused.value)


def test_training_twice_writes_the_same_bytes_of_weights(sets: TinySets, model: Path, tmp_path: Path):
    before = torch.random.get_rng_state()
    train_model(sets.snapshot, sets.train, tmp_path / "again")
    assert (tmp_path / "again/weights.safetensors").read_bytes() == (
        model / "weights.safetensors"
    ).read_bytes()
    assert torch.equal(before, torch.random.get_rng_state())


def test_every_line_of_the_training_log_has_step_speed_losses_and_rates(model: Path):
    lines = [json.loads(line) for line in (model / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 5, 10, 15, 20]
    for line in lines:
        assert set(line["losses"]) == {"like", "reply"}
        assert set(line["learning_rates"]) == {"shared", "like", "reply"}
        assert line["rows_per_s"] > 0
        assert line["seconds_left"] >= 0
    assert lines[-1]["losses"] == ModelManifest.read(model).losses


def test_the_curves_are_a_page_that_needs_nothing_else(model: Path):
    page = model.with_name("curves.html").read_text()
    assert (
        page.count('role="img"') == 7
    )  # loss of all tasks, like, reply; learning rate, throughput, waiting, norm
    assert "20 steps, all that were planned" in page
    assert "http" not in page
    assert "<script src" not in page
    assert "<link" not in page


def test_progress_is_said_in_a_few_words(sets: TinySets, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train_model(sets.snapshot, sets.train, tmp_path / "model")
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("recap-progress: 1.0000 step 20/20, loss 0.")
    assert said[-1].endswith(" rows/s, 0 s left")


def test_a_training_set_of_another_snapshot_is_refused(sets: TinySets, tmp_path: Path):
    other = snapshot_of(write_tiny_log(tmp_path / "log", seed=1), CONFIG, tmp_path / "snapshot")
    with pytest.raises(ValueError, match="prepared from another snapshot"):
        train_model(other, sets.train, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_another_set_than_the_training_set_is_refused(sets: TinySets, tmp_path: Path):
    with pytest.raises(ValueError, match="is the test set; train needs the training set"):
        train_model(sets.snapshot, sets.test, tmp_path / "model")


def test_a_set_of_other_groups_than_the_configs_is_refused(sets: TinySets, tmp_path: Path):
    features = CONFIG.features.model_copy(update={"binary": []})
    config = CONFIG.model_copy(update={"features": features})
    snapshot = snapshot_of(sets.snapshot.parent / "log", config, tmp_path / "snapshot")
    with pytest.raises(ValueError, match=r"has groups .*'binary': 1.*; run prepare again"):
        train_model(snapshot, sets.train, tmp_path / "model")


def test_a_step_that_fails_leaves_no_model(tmp_path: Path):
    features = CONFIG.features.model_dump() | {"weight": "age_hours"}
    config = tiny_config(
        features=features | {"continuous": ["likes", "replies"]},
        training={"batch_size": 64},
        optimizer={"single_task_learning_rate": {"constant": 1e30}},
    )
    sets = build_tiny(tmp_path, config, write_tiny_log(tmp_path / "log"))
    with pytest.raises(ValueError, match=r"step \d+: the .* is not finite"):
        train_model(sets.snapshot, sets.train, tmp_path / "model", tmp_path / "curves.html")
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "curves.html").exists()
    assert not list(tmp_path.glob(".model*"))


def test_rows_that_build_did_not_write_are_refused(tmp_path: Path):
    sets = build_tiny(tmp_path, CONFIG, write_tiny_log(tmp_path / "log"))
    rows = next((tmp_path / "train.rows").glob("*.arrow"))
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"part-00000.arrow: changed since prepare wrote it; run prepare again"
    ):
        train_model(sets.snapshot, sets.train, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_gpu_that_is_not_there_is_said_so(sets: TinySets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = tiny_config(training={"device": "cuda"})
    snapshot = snapshot_of(sets.snapshot.parent / "log", config, tmp_path / "snapshot")
    with pytest.raises(ValueError, match=r"training.device: cuda: torch sees no GPU here"):
        train_model(snapshot, sets.train, tmp_path / "model")


def _list_as(folder: Path, name: str, file: Path) -> None:
    """Add a file to a manifest, with its right digest."""
    manifest = json.loads((folder / "_manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "_manifest.json").write_text(json.dumps(manifest))


def _replace_by_link(folder: Path) -> None:
    shutil.copyfile(folder / "weights.safetensors", folder.parent / "weights.safetensors")
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").symlink_to("../weights.safetensors")


def _replace_by_pipe(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda folder: (folder / "weights.safetensors").write_bytes(b""),
            "weights.safetensors: altered since",
        ),
        (
            lambda folder: (folder / "weights.safetensors").unlink(),
            "weights.safetensors: named in the manifest, but",
        ),
        (lambda folder: (folder / "more.bin").touch(), "more.bin: added since"),
        (_replace_by_link, "weights.safetensors: altered since"),
        (_replace_by_pipe, "config.json: altered since"),
        (lambda folder: _list_as(folder, "../../log", Path(__file__)), "leads out of its folder"),
        (lambda folder: _list_as(folder, "/etc/hostname", Path(__file__)), "leads out of its folder"),
    ],
)
def test_a_model_whose_files_are_not_those_of_its_manifest_is_refused(
    change: Callable[[Path], object], words: str, model: Path, tmp_path: Path
):
    shutil.copytree(model, tmp_path / "copy")
    change(tmp_path / "copy")
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        ModelManifest.read(tmp_path / "copy")


def test_a_warm_start_from_a_folder_goes_on_with_its_weights(sets: TinySets, model: Path, tmp_path: Path):
    frozen = {"batch_size": 64, "max_steps": 1, "log_every_steps": 5, "warm_start": str(model)}
    config = tiny_config(training=frozen, optimizer={"single_task_learning_rate": {"constant": 1e-9}})
    snapshot = snapshot_of(sets.snapshot.parent / "log", config, tmp_path / "snapshot")
    manifest = train_model(snapshot, sets.train, tmp_path / "model")
    assert manifest.warm_start == str(model)
    ours, theirs = load_model(tmp_path / "model").state_dict(), load_model(model).state_dict()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-6, rtol=0)
    assert manifest.losses["like"] < ModelManifest.read(model).losses["like"] * 1.5


def test_a_tasks_pos_weight_is_undone_in_the_model_that_is_saved(sets: TinySets, tmp_path: Path):
    towers = {"reply": {"mlp_config": {"layer_sizes": [8, 1]}, "pos_weight": 5.0}}
    section = tiny_config().model.model_dump(exclude_none=True) | {"tasks": towers}
    config = tiny_config(model=section, training={"batch_size": 64, "max_steps": 1})
    snapshot = snapshot_of(sets.snapshot.parent / "log", config, tmp_path / "snapshot")
    train_model(snapshot, sets.train, tmp_path / "model")
    ratios = load_model(tmp_path / "model").sampling.ratio
    torch.testing.assert_close(ratios, torch.tensor([1.0, 0.2]))


@pytest.fixture(scope="module")
def registered(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A registry's address, and the version of the model in it."""
    folder = tmp_path_factory.mktemp("registered")
    uri = new_registry(folder / "registry")
    return uri, register_model_files(connect(uri), model, folder)


@pytest.mark.parametrize("wanted", ["champion", "models:/tiny/1"])
def test_a_warm_start_from_the_registry_takes_that_version(
    wanted: str, sets: TinySets, model: Path, registered: tuple[str, str], tmp_path: Path
):
    uri, version = registered
    config = tiny_config(
        training={"batch_size": 64, "max_steps": 1, "warm_start": wanted},
        optimizer={"single_task_learning_rate": {"constant": 1e-9}},
    )
    champion = Champion(version=version, run_id="") if wanted == "champion" else None
    log = sets.snapshot.parent / "log"
    snapshot = snapshot_of(log, config, tmp_path / "snapshot", champion=champion, tracking_uri=uri)
    manifest = train_model(snapshot, sets.train, tmp_path / "model")
    assert manifest.warm_start == f"tiny version {version}"
    ours, theirs = load_model(tmp_path / "model").state_dict(), load_model(model).state_dict()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-6, rtol=0)


def test_a_warm_start_from_the_champion_starts_anew_where_there_is_none(
    sets: TinySets, registered: tuple[str, str], tmp_path: Path
):
    config = tiny_config(training={"batch_size": 64, "max_steps": 1, "warm_start": "champion"})
    log = sets.snapshot.parent / "log"
    snapshot = snapshot_of(log, config, tmp_path / "snapshot", tracking_uri=registered[0])
    assert train_model(snapshot, sets.train, tmp_path / "model").warm_start is None


def register_model_files(client: MlflowClient, model: Path, folder: Path) -> str:
    """A version whose artifacts are a model's files, with their digests."""
    package = folder / "package"
    shutil.copytree(model, package / MODEL_PATH)
    digest = write_digests(package)
    client.create_registered_model("tiny")
    tags = {DIGEST_TAG: digest}
    return str(client.create_model_version("tiny", package.as_uri(), tags=tags).version)
