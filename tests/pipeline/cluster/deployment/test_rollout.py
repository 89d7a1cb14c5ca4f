"""A version gets the traffic in stages, and the one before gets it back if a stage fails; on a real socket."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from kubernetes.config import kube_config
from typer.testing import CliRunner

from components.common import registry
from pipeline.cli.app import app
from pipeline.cli.doctor.kubernetes import SERVING_RIGHTS, check_kubernetes
from pipeline.cluster.deployment.inference_service import canary, inference_service
from pipeline.cluster.deployment.kserve import InferenceServiceClient, ServedState
from pipeline.cluster.deployment.rollout import Rollout, RolloutError
from pipeline.cluster.deployment.served_scores import compare_served_scores
from pipeline.cluster.settings import ClusterSettings, load_cluster
from tests.components.registries import new_registry
from tests.pipeline.cluster.deployment.kserve_api import NAMESPACE, KServeApi, kserve_api

V7, V8, V9 = (f"models:/shop/{version}" for version in (7, 8, 9))
SERVING = {
    "name": "shop-ranker",
    "tracking_uri": "http://mlflow.kubeflow:5000",
    "replicas": 3,
    "stage_minutes": 0,
    "ready_minutes": 1,
    "prediction_log": "s3://logs/served",
    "service_account": "server",
}


def settings(**changes: Any) -> ClusterSettings:
    return ClusterSettings.model_validate({"serving": SERVING | changes})


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KServeApi]:
    with kserve_api() as server:
        path = server.kubeconfig(tmp_path / "kubeconfig")
        monkeypatch.setattr("pipeline.cluster.deployment.rollout._POLL_S", 0.01)
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        yield server


def deploy(model: str, words: str = "", at_once: bool = False, **changes: Any) -> list[str]:
    """Roll out with a check that says ``words``; returns the reported lines."""
    lines: list[str] = []
    client = InferenceServiceClient("shop-ranker", NAMESPACE)
    run = Rollout(client, settings(**changes), model, lambda *_: words, lines.append)
    run.run(at_once=at_once)
    return lines


def test_a_first_version_gets_all_of_the_traffic_at_once(api: KServeApi):
    assert deploy(V7) == [f"created, serves {V7}"]
    assert api.history == [[(V7, 100)]]
    (container,) = api.services["shop-ranker"]["spec"]["predictor"]["containers"]
    assert container["args"][2:] == ["--model", V7, "--port", "8080", "--prediction-log", "s3://logs/served"]


def test_the_next_version_gets_it_in_stages_and_repeating_changes_nothing(api: KServeApi):
    deploy(V7)
    assert deploy(V8) == [f"{V8}: {percent} % of the traffic" for percent in (0, 10, 50, 100)]
    stages = [[(V7, 100 - percent), (V8, percent)] for percent in (0, 10, 50)]
    assert api.history == [[(V7, 100)], *stages, [(V8, 50), (V8, 50)], [(V8, 100)]]
    # The last change is the predictor's with the same content.
    deploy(V8)
    assert api.history[-1] == [(V8, 100)]
    assert {verb for verb, group, _ in api.rights if group == "apps"} == {"get"}
    assert api.rights == {
        (verb, group, resource) for (group, resource), verbs in SERVING_RIGHTS.items() for verb in verbs
    }


@pytest.mark.parametrize(
    ("broken", "words", "error", "stages"),
    [
        (V8, "", "canary v8 is not ready: its container exited with 1, with 0 %", (0,)),
        ("", "like has other predictions", "like has other predictions, with 10 %", (0, 10)),
    ],
)
def test_a_stage_that_fails_gives_the_traffic_back(
    api: KServeApi, broken: str, words: str, error: str, stages: tuple[int, ...]
):
    deploy(V7)
    api.broken = {broken}
    with pytest.raises(RolloutError, match=f"^{V8}: {error} of the traffic; {V7} serves all of it again$"):
        deploy(V8, words, ready_minutes=1 if words else 0.005)
    assert api.history[1:] == [*([(V7, 100 - percent), (V8, percent)] for percent in stages), [(V7, 100)]]


def test_pods_that_are_not_replaced_in_time_are_those_before_again(api: KServeApi):
    deploy(V7)
    before = api.services["shop-ranker"]["spec"]
    api.broken = {V8}
    with pytest.raises(RolloutError, match=f"3 of 3 pods serve {V8}; {V7} serves again|Deployment"):
        deploy(V8, at_once=True, ready_minutes=0.005)
    assert api.services["shop-ranker"]["spec"] == before


def test_an_interrupted_rollout_goes_on_and_another_version_replaces_it(api: KServeApi):
    deploy(V7)

    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    client = InferenceServiceClient("shop-ranker", NAMESPACE)
    with pytest.raises(KeyboardInterrupt):
        Rollout(client, settings(), V8, interrupt, lambda line: None).run()
    assert deploy(V8)[0] == f"{V8}: 10 % of the traffic"
    with pytest.raises(KeyboardInterrupt):
        Rollout(client, settings(), V9, interrupt, lambda line: None).run()
    assert api.history[-1] == [(V8, 90), (V9, 10)]
    # A rollback to the version that still has most of the traffic takes the canary's at once.
    deploy(V8, at_once=True)
    assert api.history[-2:] == [[(V8, 100)], [(V8, 100)]]


def test_a_rollback_has_no_stages(api: KServeApi):
    deploy(V8)
    assert deploy(V7, at_once=True) == [f"{V7}: 100 % of the traffic"]
    assert api.history == [[(V8, 100)], [(V7, 100)]]


def test_a_change_by_somebody_else_stops_the_rollout_and_a_conflict_with_the_controller_does_not(
    api: KServeApi,
):
    deploy(V7)
    api.conflicts = 2
    deploy(V8)

    def promote_other(*_: object) -> str:
        api.services["shop-ranker"]["spec"] = inference_service(settings(), V9)["spec"]
        return ""

    client = InferenceServiceClient("shop-ranker", NAMESPACE)
    with pytest.raises(ValueError, match="shop-ranker: was changed by somebody else meanwhile"):
        Rollout(client, settings(), V7, promote_other, lambda line: None).run()


def test_an_api_that_does_not_answer_is_asked_again_and_one_that_refuses_says_why(api: KServeApi):
    deploy(V7)
    api.fails_after_change = 2
    assert deploy(V8)[-1] == f"{V8}: 100 % of the traffic"
    api.denied = {"patch"}
    with pytest.raises(
        PermissionError, match=r"may not patch inferenceservices; the role is in docs/cluster\.md"
    ):
        deploy(V7)
    api.installed = False
    with pytest.raises(
        ValueError, match=r"has no inferenceservices\.serving\.kserve\.io; install KServe 0\.20"
    ):
        deploy(V7)


def test_the_commands_render_deploy_and_roll_back(
    api: KServeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of a registry whose champion is version 2; that a rollback moves the alias is tested elsewhere."""
    uri = new_registry(tmp_path / "workspace")
    client = registry.connect(uri)
    client.create_registered_model("shop")
    for _ in range(2):
        client.create_model_version("shop", tmp_path.as_uri())
    registry.move_alias(client, "shop", "champion", "2")
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(yaml.safe_dump({"serving": SERVING}))
    common = ["--cluster", str(cluster), "--namespace", NAMESPACE, "--tracking-uri", uri]
    call = ["deploy", *common, "--model", "models:/shop@champion"]
    printed = CliRunner().invoke(app, [*call, "--print"])
    assert yaml.safe_load(printed.stdout) == inference_service(load_cluster(cluster), "models:/shop/2")
    assert api.services == {}
    done = CliRunner().invoke(app, call)
    assert done.stdout == "created, serves models:/shop/2\n", done.exception
    monkeypatch.setattr("components.common.registry.promotion.rollback.roll_back", lambda *_: None)
    back = CliRunner().invoke(app, ["rollback", "--to", "1", "--name", "shop", "--json", *common])
    assert json.loads(back.stdout) == {"name": "shop", "champion": "1", "moved": False}
    assert back.stderr == "models:/shop/1: 100 % of the traffic\n"
    cluster.write_text("{}")
    refused = CliRunner().invoke(app, ["rollback", "--name", "shop", *common])
    assert str(refused.exception) == "--cluster: the file has no section serving; see docs/cluster.md"


def test_doctor_says_what_is_served_and_which_rights_are_missing(api: KServeApi):
    def findings() -> list[tuple[str, str]]:
        found = check_kubernetes(settings(), NAMESPACE)
        return [(one.state, one.words) for one in found if one.what == "serving"]

    assert findings() == [("ok", "shop-ranker does not exist yet; recap deploy creates it")]
    deploy(V7)
    assert findings() == [("ok", f"shop-ranker serves {V7}")]
    client = InferenceServiceClient("shop-ranker", NAMESPACE)
    client.change(ServedState(V7), {"canary": [canary(settings(), V8, 10)]})
    ((state, words),) = findings()
    assert (state, f"serves {V7}, and {V8} with 10 %: a deployment is running" in words) == ("warn", True)
    api.denied = {"patch"}
    assert findings() == [
        ("warn", "you may not patch inferenceservices in namespace ml; the role is in docs/cluster.md")
    ]
    api.denied, api.installed = set(), False
    assert [state for state, _ in findings()] == ["fail"]


def write_log(folder: Path, version: str, requests: int, shift: float, when: datetime) -> None:
    """A file of the prediction log: requests of five rows each."""
    random = np.random.default_rng(int(version))
    times = [when + timedelta(milliseconds=number // 5) for number in range(requests * 5)]
    rows = pa.table(
        {
            "served_at": pa.array(times, pa.timestamp("ms", "UTC")),
            "model_version": [version] * len(times),
            "prediction.like": random.beta(2, 20, len(times)).astype(np.float32) + np.float32(shift),
        }
    )
    out = folder / f"date={when.date()}"
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, out / f"{int(when.timestamp() * 1000) + 60_000}-{version}.parquet")


@pytest.mark.parametrize(
    ("requests", "shift", "words"),
    [
        (400, 0.0, ""),
        (99, 0.0, "99 requests of version 8 are in the prediction log; 100 are needed"),
        (
            400,
            0.1,
            r"like has other predictions than before \(PSI \d\S*, allowed 0.25; mean 0.09\d+, now 0.19\d+\)",
        ),
        (400, np.nan, "like of models:/shop/8 is not finite in some rows"),
    ],
)
def test_predictions_of_two_versions_are_compared_on_the_traffic_of_a_stage(
    tmp_path: Path, requests: int, shift: float, words: str
):
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    write_log(tmp_path, "7", 400, 0.0, began)
    write_log(tmp_path, "8", requests, shift, began)
    write_log(tmp_path, "8", 400, 0.5, began - timedelta(hours=2))  # of an earlier attempt
    found = compare_served_scores(str(tmp_path), V7, V8, began, 0.25)
    assert re.fullmatch(words, found), found
