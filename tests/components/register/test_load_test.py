"""A version is loaded back in a process of its own, and scores as evaluate recorded."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from components.common import registry
from components.common.artifacts.registered_version import RegisteredVersion
from components.common.registry import RegistryError
from components.common.registry.load_test.check import load_and_score
from tests.components.registries import NAME, Inputs, new_registry, register, run_outputs


def test_the_proof_is_of_a_fresh_process_and_measures_it(version: RegisteredVersion):
    assert version.proof.rows == 50
    assert version.proof.worst_difference <= 1e-5
    assert version.proof.load_s > 0
    assert version.proof.peak_memory_mib > 50


def test_a_proven_version_is_candidate(version: RegisteredVersion, client):
    assert registry.aliases(client, NAME) == {"candidate": version.version}


def test_the_proof_holds_the_version_to_the_scores_that_evaluate_gave(
    version: RegisteredVersion, inputs: Inputs, client, tmp_path: Path
):
    folder = registry.fetch(client, NAME, version.version, tmp_path / "to")
    stored = pd.read_parquet(folder / "proof" / "scores.parquet")
    judged = pd.read_parquet(inputs.evaluation / "scores.parquet")
    assert stored["like"].tolist() == judged["candidate/like"].tolist()
    assert stored["score"].tolist() == judged["score/candidate"].tolist()


def test_a_version_loads_elsewhere_with_its_own_code(version: RegisteredVersion, client, tmp_path: Path):
    folder = registry.fetch(client, NAME, version.version, tmp_path / "to")
    code = (
        f"import mlflow.pyfunc; mlflow.pyfunc.load_model({str(folder)!r}); "
        "import recap_model, recap_model.serving as loader; "
        "print(recap_model.__file__); print(loader.__file__)"
    )
    command = [sys.executable, "-P", "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert all(line.startswith(str(folder)) for line in done.stdout.splitlines())


def test_a_version_that_fails_its_proof_has_no_alias_and_fails_the_step(tmp_path: Path, monkeypatch):
    uri = new_registry(tmp_path / "workspace")
    inputs = run_outputs(tmp_path / "run", uri)
    real = pd.DataFrame.to_parquet

    def shifted(frame: pd.DataFrame, path: Path) -> None:
        real(frame + 1e-3, path)

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_parquet", shifted)
        with pytest.raises(
            RegistryError, match=r"tiny version 1: scores after loading differ from .* by 0\.001"
        ) as raised:
            register(inputs, tmp_path / "version")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "version").exists()
    client = registry.connect(uri)
    assert registry.aliases(client, NAME) == {}
    found = registry.get_version(client, NAME, "1")
    assert found.tags["recap.proof"].startswith("failed: tiny version 1: scores after loading differ")
    assert client.get_run(found.run_id).info.status == "FAILED"


def test_a_version_that_was_altered_by_a_byte_fails_its_proof(version: RegisteredVersion, client):
    source = Path(client.get_model_version_download_uri(NAME, version.version).removeprefix("file://"))
    weights = source / registry.MODEL_PATH / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(
            RegistryError, match=r"tiny version 1: data/model/weights.safetensors was altered"
        ):
            load_and_score(client, NAME, version.version)
    finally:
        weights.write_bytes(content)


def test_a_version_with_the_loader_of_the_release_before_is_proven(
    version: RegisteredVersion, client, tmp_path: Path
):
    folder = registry.fetch(client, NAME, version.version, tmp_path / "to")
    for guard in list(folder.rglob("__pycache__")):
        guard.unlink()
    loader = folder / "code" / "components" / "register" / "pyfunc.py"
    loader.parent.mkdir(parents=True)
    (folder / "code" / "recap_model" / "serving.py").rename(loader)
    for package in (loader.parent, loader.parents[1]):
        (package / "__init__.py").touch()
    description = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(description.replace("recap_model.serving", "components.register.pyfunc"))
    tags = {registry.DIGEST_TAG: registry.write_digests(folder)}
    client.create_registered_model("older")
    client.create_model_version("older", folder.as_uri(), tags=tags)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder / "code"], check=True)
    assert load_and_score(client, "older", "1").rows == version.proof.rows
