"""The pods that the compiled pipeline leads to are what Kubernetes' published schemas take."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from components.common.engine.kubernetes import ExecutorSettings
from pipeline.cluster.compile import compile_pipelines
from pipeline.cluster.settings import ClusterSettings
from pipeline.graphs import PIPELINES, RETRAIN, TUNE, Pipeline
from tests.pipeline.cluster.pods import pod_of

pytestmark = pytest.mark.filterwarnings("ignore:::kfp")
# The oldest release that is still looked after somewhere, and the newest that the schemas are known of.
RELEASES = ("1.31", kubernetes_validate.latest_version())
SETTINGS: list[dict[str, Any]] = [
    {},
    {"gpu": {"count": 2, "node_selector": {"pool": "h200"}}},
    {
        "images": {"prefix": "registry.example/team/recap-", "tag": "v3"},
        "pods": {"train": {"memory": "64Gi"}},
    },
    {"train_job": {"claim": "recap-shared"}, "gpu": {"node_selector": {"pool": "h200"}}},
    {"spark": {"executors": 50, "memory": "32G", "toleration": "spark"}},
]


def pods(
    folder: Path, settings: dict[str, Any], pipelines: Sequence[Pipeline] = (RETRAIN,)
) -> dict[str, dict[str, Any]]:
    """Every step's pod, by the step; of a step of several pipelines that of the first."""
    paths = compile_pipelines(folder, ClusterSettings.model_validate(settings), pipelines)
    return {name: pod for path in reversed(paths) for name, pod in _pods_of(path).items()}


def _pods_of(path: Path) -> dict[str, dict[str, Any]]:
    spec, platform = yaml.safe_load_all(path.read_text())
    told = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors = spec["deploymentSpec"]["executors"]
    return {
        name.removeprefix("exec-"): pod_of(name, executor["container"], told[name])
        for name, executor in executors.items()
    }


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_steps_pod_is_one_for_kubernetes(settings: dict[str, Any], tmp_path: Path):
    found = pods(tmp_path, settings, (*PIPELINES.values(), TUNE))
    assert {"promote", "watch", "run-trials"} <= found.keys()
    for pod in found.values():
        for release in RELEASES:
            kubernetes_validate.validate(pod, release, strict=True)


def test_steps_that_read_the_log_are_drivers_where_the_file_has_spark(tmp_path: Path):
    found = pods(tmp_path, SETTINGS[-1])
    images = {name: pod["spec"]["containers"][0]["image"] for name, pod in found.items()}
    assert images["validate"] == images["prepare"] == "recap-data-spark:latest"
    assert images["resolve"] == "recap-registry:latest"
    environment = {one["name"]: one for one in found["prepare"]["spec"]["containers"][0]["env"]}
    assert environment["RECAP_POD_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    settings = ExecutorSettings.model_validate_json(environment["RECAP_SPARK"]["value"])
    assert (settings.executors, settings.memory_mib) == (50, 32 * 10**9 // 2**20)
    assert settings.secrets == ["recap-object-store"]


def test_the_training_pod_asks_for_its_gpus_where_they_are(tmp_path: Path):
    spec = pods(tmp_path, SETTINGS[1])["train"]["spec"]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert spec["nodeSelector"] == {"pool": "h200"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "tolerations"), [{"key": "nvidia.com/gpu", "operater": "Exists"}]),
        (("spec", "activeDeadlineSeconds"), "one day"),
        (("spec", "volumes"), [{"emptyDir": {}}]),
        (("spec", "containers"), [{"image": "x"}]),
        (("spec", "nodeSelector"), {"pool": 3}),
        (("spec", "emptyDirs"), []),
    ],
)
def test_a_pod_that_is_wrong_is_refused(path: tuple[str, str], value: Any, tmp_path: Path):
    pod = copy.deepcopy(pods(tmp_path, {})["train"])
    pod[path[0]][path[1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, RELEASES[-1], strict=True)
