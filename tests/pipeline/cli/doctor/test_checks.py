"""What doctor finds, and what it says to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.common import registry
from components.common.registry.promotion.move_champion import move_champion
from components.common.registry.promotion.promotion_log import Audit
from pipeline.cli.app import app
from pipeline.cli.doctor.checks import Finding, check_registry
from tests.components.registries import new_registry
from tests.pipeline.cli.cluster.api import PipelinesApi, serving

pytestmark = pytest.mark.filterwarnings("ignore:::kfp", "ignore:::kfp_server_api")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipelinesApi]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with serving() as running:
        yield running


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def by(findings: Iterator[Finding], what: str) -> list[tuple[str, str]]:
    return [(finding.state, finding.words) for finding in findings if finding.what == what]


def test_a_fresh_machine_is_well_and_nothing_is_made_by_looking(tmp_path: Path):
    status, output = call("doctor", "--workspace", str(tmp_path / "new"))
    assert status == 0, output
    assert "mlflow.db: does not exist yet; the first run creates it" in output
    assert "cluster not checked" in output
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_without_a_version_says_what_to_do_and_a_released_one_is_well(
    server: PipelinesApi, tmp_path: Path
):
    arguments = ("doctor", "--workspace", str(tmp_path), "--host", server.url)
    status, output = call(*arguments)
    assert status == 0
    assert "no version on the server yet; upload one by recap release" in output
    assert "secrets    not looked at: no kubeconfig here" in output
    where = ("--host", server.url, "--data", "s3://logs", "--tracking-uri", "http://mlflow")
    assert call("release", "--host", server.url, "--version", "v1")[0] == 0
    assert call("schedule", "create", "nightly", "--cron", "0 3 * * *", *where)[0] == 0
    assert "nightly: on, 0 0 3 * * *" in call(*arguments)[1]
    server.versions.append(server.versions[-1] | {"pipeline_version_id": "new", "display_name": "v2"})
    assert "nightly: runs an older version than v2; recap release moves it" in call(*arguments)[1]
    server.answer = (401, {"error": "who"})
    status, output = call(*arguments)
    assert status == 1
    assert "fail  server" in output


def test_a_champion_that_was_moved_or_deleted_by_hand_is_found(tmp_path: Path):
    uri = new_registry(tmp_path)
    client = registry.connect(uri)
    assert by(check_registry(uri, "tiny"), "champion") == [
        ("warn", "tiny: no champion yet; a run promotes one, or recap promote VERSION")
    ]
    client.create_registered_model("tiny")
    for _ in range(2):
        client.create_model_version("tiny", source="file:///nowhere")
    client.set_registered_model_alias("tiny", "champion", "2")
    ((state, words),) = by(check_registry(uri, "tiny"), "champion")
    assert (state, words) == (
        "fail",
        "tiny: the alias is on 2, the record says none: moved outside Recap; recap promote the version that is meant",
    )


def test_a_champion_whose_version_was_deleted_is_found(tmp_path: Path):
    uri = new_registry(tmp_path)
    client = registry.connect(uri)
    client.create_registered_model("tiny")
    for _ in range(2):
        client.create_model_version("tiny", source="file:///nowhere")
    move_champion(client, "tiny", None, "1", Audit(why="first"))
    move_champion(client, "tiny", "1", "2", Audit(why="better"))
    client.delete_model_version("tiny", "2")
    words = "tiny: version 2, promoted last, was deleted; recap rollback, or recap promote another version"
    assert by(check_registry(uri, "tiny"), "champion") == [("fail", words)]
    assert call("doctor", "--workspace", str(tmp_path), "--name", "tiny")[0] == 1


def test_a_server_that_does_not_answer_is_a_finding():
    ((state, words),) = [(one.state, one.words) for one in check_registry("http://127.0.0.1:9", "tiny")]
    assert state == "fail"
    assert "127.0.0.1:9" in words
