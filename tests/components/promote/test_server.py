"""The registry's steps against a real MLflow server on loopback, which keeps the artifacts itself."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.common import registry
from components.common.registry import RegistryError
from components.common.registry.promotion.promotion_log import read_promotions
from components.common.registry.promotion.rollback import roll_back
from components.promote.promote import promote_version
from pipeline.cli.registry.fetch import fetch_version
from tests.chaos.promoters import WORKERS, race
from tests.components.registries import NAME, PROOF, new_registry, register, run_outputs
from tests.fork_server import run_recap
from tests.servers import Process, mlflow_server, postgres, postgres_binaries

pytestmark = pytest.mark.slow
PROOFS = (
    "components.promote.manual.load_and_score",
    "components.common.registry.promotion.rollback.load_and_score",
    "components.register.register.load_and_score",
)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield new_registry(tmp_path_factory.mktemp("database"))
        return
    if postgres_binaries() is None:
        pytest.skip("no PostgreSQL here: neither initdb nor pg_ctl")
    with postgres() as uri:
        yield uri


@pytest.fixture(scope="module")
def running(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Process]]:
    """The URI of a server that proxies artifacts, and its process."""
    with mlflow_server(tmp_path_factory.mktemp("server"), database) as server:
        yield server


@pytest.fixture(scope="module")
def server(running: tuple[str, Process]) -> str:
    return running[0]


def test_a_version_is_registered_proven_promoted_and_rolled_back(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client = registry.connect(server)
    for number, against in ((1, None), (2, "1")):
        folder = tmp_path / str(number)
        inputs = run_outputs(folder, server, f"run-{number}", against=against, seed=number)
        version = register(inputs, folder / "version")
        assert version.proof.worst_difference <= 1e-6
        # The first version was proven: a second proof, and a third, would say no more of the server.
        for place in PROOFS:
            monkeypatch.setattr(place, lambda *_: PROOF)
        assert promote_version(folder / "version", inputs.evaluation, folder / "promotion").promoted
    assert registry.aliases(client, NAME) == {"champion": "2", "previous": "1"}
    assert client.get_model_version_download_uri(NAME, "2").startswith("mlflow-artifacts:")
    assert registry.champion(client, NAME).version == "2"
    _a_stranger_uses_mlflow_alone(server, tmp_path / "2" / "evaluation" / "scores.parquet")
    fetch_version(client, NAME, "2", tmp_path / "fetched")
    assert (tmp_path / "fetched" / "MLmodel").is_file()
    assert roll_back(client, NAME).to == "1"
    assert registry.aliases(client, NAME) == {"champion": "1", "previous": "2"}


def _a_stranger_uses_mlflow_alone(server: str, scores: Path) -> None:
    """Find the champion, read what it takes and why it is champion, and score the rows that it brings along."""
    code = f"""
import mlflow, numpy, pandas
mlflow.set_tracking_uri({server!r})
version = mlflow.MlflowClient().get_model_version_by_alias({NAME!r}, "champion")
assert version.description.startswith("Promoted by pipeline run run-2 at "), version.description
assert "Decision at registration: PROMOTE: the gate said PROMOTE." in version.description, version.description
uri = "models:/{NAME}@champion"
assert "likes" in mlflow.models.get_model_info(uri).signature.inputs.input_names()
folder = mlflow.artifacts.download_artifacts(uri)
found = mlflow.pyfunc.load_model(uri).predict(pandas.read_parquet(folder + "/proof/rows.parquet"))
judged = pandas.read_parquet({str(scores)!r})
numpy.testing.assert_allclose(found["like"], judged["candidate/like"], atol=1e-5)
"""
    # A process of its own: one that is forked would have this project's modules already.
    command = [sys.executable, "-P", "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, cwd=scores.parent, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_of_eight_promoters_at_once_one_wins_each_time(server: str):
    client = registry.connect(server)
    client.create_registered_model("race")
    run = client.create_run(client.create_experiment("race"))
    for _ in range(1 + 3 * WORKERS):
        client.create_model_version("race", f"{run.info.artifact_uri}/model", run.info.run_id)
    assert race(server, "race", 3).total() == 3


@pytest.fixture
def interrupted(running: tuple[str, Process], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that may be stopped, with little patience for it, and proofs taken for granted."""
    for place in PROOFS:
        monkeypatch.setattr(place, lambda *_: PROOF)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    uri, process = running
    yield uri
    if process.process is None:
        process.start()


def test_a_server_that_goes_away_in_the_middle_is_one_line_and_a_rerun_finishes(
    interrupted: str, running: tuple[str, Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from mlflow import MlflowClient

    process = running[1]
    inputs = run_outputs(tmp_path / "run", interrupted, "interrupted", model_name="interrupted")
    version, promotion = tmp_path / "version", tmp_path / "promotion"
    steps: list[tuple[str, Callable[[], object]]] = [
        ("create_model_version", lambda: register(inputs, version)),
        ("set_registered_model_alias", lambda: promote_version(version, inputs.evaluation, promotion)),
    ]
    for call, work in steps:
        real = getattr(MlflowClient, call)

        def gone(*arguments: object, real=real, **fields: object) -> object:
            process.stop()
            return real(*arguments, **fields)

        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, call, gone)
            _is_one_line(work)
        began = time.monotonic()
        _is_one_line(work)
        assert time.monotonic() - began < 30  # MLflow by itself tries for minutes
        listed = _recap(interrupted, "models")
        assert (listed.returncode, len(listed.stderr.splitlines())) == (1, 1), listed.stderr
        assert "does not answer" in listed.stderr
        process.start()
        work()
        work()
    client = registry.connect(interrupted)
    assert [str(found.version) for found in registry.versions(client, "interrupted")] == ["1"]
    assert registry.aliases(client, "interrupted") == {"champion": "1"}
    assert len(read_promotions(client, "interrupted")) == 1
    experiment = client.get_experiment_by_name(NAME).experiment_id
    wanted = f"tags.`{registry.PIPELINE_RUN_TAG}` = 'interrupted'"
    assert len(client.search_runs([experiment], wanted)) == 1
    assert "champion" in _recap(interrupted, "models").stdout


def _is_one_line(work: Callable[[], object]) -> None:
    with pytest.raises(RegistryError) as raised:
        work()
    assert "\n" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)


def _recap(uri: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_recap(*arguments, "--name", "interrupted", "--tracking-uri", uri, cwd=Path.cwd())
