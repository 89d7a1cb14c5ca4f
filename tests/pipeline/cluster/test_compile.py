"""The compiled pipeline in the repository is that of the code, and its form in the UI explains itself."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import ParseDict
from kfp import kubernetes
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec
from kubernetes.utils.quantity import parse_quantity

from components.common.runtime.train_job import VARIABLE, TrainJobSettings
from components.steps import STEPS as TABLE
from components.train.checkpoints import CHECKPOINTS_VARIABLE
from pipeline.cluster.compile import COMPILED, compile_pipelines
from pipeline.cluster.settings import ClusterSettings, load_cluster
from pipeline.graphs import RETRAIN, TUNE

pytestmark = pytest.mark.filterwarnings("ignore:::kfp")

GPUS = {"gpu": {"count": 2, "node_selector": {"pool": "h200"}}}
STEPS = [step.name for step in TABLE]


def documents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline, and what Kubernetes is told of each executor."""
    spec, platform = yaml.safe_load_all(path.read_text())
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def compiled(tmp_path: Path, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    (path,) = compile_pipelines(tmp_path, ClusterSettings.model_validate(settings), [RETRAIN])
    return documents(path)


def container(spec: dict[str, Any], step: str) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]


def tasks_of(spec: dict[str, Any]) -> dict[str, Any]:
    """The tasks inside the exit handler."""
    return spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]


def test_the_committed_pipelines_are_those_of_the_code(tmp_path: Path):
    for path in compile_pipelines(tmp_path):
        committed = COMPILED / path.name
        assert committed.read_text() == path.read_text(), "stale; run recap compile and commit the result"


def test_a_file_that_is_not_a_compiled_pipeline_is_never_replaced(tmp_path: Path):
    (tmp_path / "retrain.yaml").write_text("precious")
    with pytest.raises(FileExistsError, match="not a compiled pipeline; give another folder"):
        compile_pipelines(tmp_path)
    assert (tmp_path / "retrain.yaml").read_text() == "precious"


def test_both_documents_are_what_the_servers_own_schemas_take():
    spec, executors = documents(COMPILED / "retrain.yaml")
    parsed = ParseDict(spec, PipelineSpec())
    assert parsed.pipeline_info.name == "recap-retrain"
    config = kubernetes.kubernetes_executor_config_pb2.KubernetesExecutorConfig
    assert all(ParseDict(executor, config()).secret_as_env for executor in executors.values())
    assert set(executors) == {f"exec-{step}" for step in (*STEPS, "notify")}


@pytest.mark.parametrize("name", ["retrain", "tune"])
def test_every_parameter_is_described_and_only_where_things_are_has_no_default(name: str):
    spec, _ = documents(COMPILED / f"{name}.yaml")
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert all(parameter["description"] for parameter in parameters.values())
    without = [name for name, parameter in parameters.items() if "defaultValue" not in parameter]
    assert without == ["data_root", "tracking_uri"]


@pytest.mark.parametrize("name", ["retrain", "watch", "tune"])
def test_nothing_is_installed_when_a_step_runs(name: str):
    assert "pip install" not in (COMPILED / f"{name}.yaml").read_text()


def test_trials_run_side_by_side_with_gpus_after_the_current_config(tmp_path: Path):
    (path,) = compile_pipelines(tmp_path, ClusterSettings.model_validate(GPUS), [TUNE])
    spec, executors = documents(path)
    assert ParseDict(spec, PipelineSpec()).pipeline_info.name == "recap-tune"
    tasks = spec["root"]["dag"]["tasks"]
    (loop,) = (task for task in tasks.values() if "parameterIterator" in task)
    assert "train-reference" in loop["dependentTasks"]
    assert "for-loop" in " ".join(tasks["report-study"]["dependentTasks"])
    for step in ("train-reference", "run-trials"):
        assert container(spec, step)["resources"]["accelerator"]["resourceCount"] == "2"
        assert executors[f"exec-{step}"]["nodeSelector"] == {"labels": {"pool": "h200"}}
    assert "accelerator" not in container(spec, "report-study")["resources"]


def test_the_steps_come_in_the_order_of_the_datas_way_and_none_is_answered_from_a_cache():
    spec, _ = documents(COMPILED / "retrain.yaml")
    tasks = tasks_of(spec)
    assert set(tasks) == set(STEPS)
    assert all(task["cachingOptions"] == {} for task in tasks.values())
    done: set[str] = set()
    for step in STEPS:
        assert set(tasks[step].get("dependentTasks", [])) <= done
        done.add(step)


def test_the_last_step_always_runs():
    spec, _ = documents(COMPILED / "retrain.yaml")
    policy = spec["root"]["dag"]["tasks"]["notify"]["triggerPolicy"]["strategy"]
    assert policy == "ALL_UPSTREAM_TASKS_COMPLETED"


def test_the_window_follows_from_the_time_that_a_run_is_scheduled_for():
    spec, _ = documents(COMPILED / "retrain.yaml")
    given = tasks_of(spec)["resolve"]["inputs"]["parameters"]["scheduled"]
    assert given == {"runtimeValue": {"constant": "{{$.pipeline_job_schedule_time_utc}}"}}


def test_failed_steps_are_repeated_with_growing_waits():
    spec, _ = documents(COMPILED / "retrain.yaml")
    for step in STEPS:
        policy = tasks_of(spec)[step]["retryPolicy"]
        assert policy["maxRetryCount"] == (5 if step == "train" else 2)
        assert (policy["backoffDuration"], policy["backoffFactor"]) == ("60s", 2)


def test_retrying_ends_no_earlier_than_the_last_attempt_may(tmp_path: Path):
    # Argo's operator gives up retrying, and kills, at backoffMaxDuration after the first attempt's start.
    pods = {"train": {"timeout_minutes": 600, "retries": 3}}
    for spec, executors in (documents(COMPILED / "retrain.yaml"), compiled(tmp_path, pods=pods)):
        for step in STEPS:
            policy = tasks_of(spec)[step]["retryPolicy"]
            waits = sum(60 * 2**attempt for attempt in range(policy["maxRetryCount"]))
            attempts = (policy["maxRetryCount"] + 1) * int(executors[f"exec-{step}"]["activeDeadlineSeconds"])
            assert int(policy["backoffMaxDuration"].removesuffix("s")) >= waits + attempts


def test_no_pod_is_root_or_without_a_memory_limit_or_a_time_out():
    spec, executors = documents(COMPILED / "retrain.yaml")
    for step in (*STEPS, "notify"):
        told = executors[f"exec-{step}"]
        assert told["securityContext"]["runAsNonRoot"] is True
        assert int(told["activeDeadlineSeconds"]) >= 600
        resources = container(spec, step)["resources"]
        assert resources["resourceMemoryRequest"] == resources["resourceMemoryLimit"]


def test_only_who_needs_a_secret_gets_it():
    _, executors = documents(COMPILED / "retrain.yaml")
    given = {
        step: {secret["secretName"] for secret in executors[f"exec-{step}"]["secretAsEnv"]}
        for step in (*STEPS, "notify")
    }
    assert given["prepare"] == given["calibrate"] == {"recap-object-store"}
    assert given["train"] == {"recap-object-store", "recap-mlflow"}
    assert given["register"] == {"recap-object-store", "recap-mlflow"}
    assert {step for step, names in given.items() if "recap-webhook" in names} == {"promote", "notify"}


def test_a_gpu_is_asked_for_by_the_plugins_name_on_nodes_that_have_one(tmp_path: Path):
    spec, executors = compiled(tmp_path, **GPUS)
    accelerator = container(spec, "train")["resources"]["accelerator"]
    assert accelerator["resourceType"] == "nvidia.com/gpu"
    assert accelerator["resourceCount"] == "2"
    told = executors["exec-train"]
    assert told["nodeSelector"]["labels"] == {"pool": "h200"}
    assert told["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert container(spec, "train")["image"] == "recap-trainer-gpu:latest"
    assert container(spec, "calibrate")["image"] == "recap-trainer:latest"


def test_with_a_training_job_the_train_step_waits_in_a_small_pod_on_the_volume_of_the_nodes(tmp_path: Path):
    gpu = {"node_selector": {"pool": "h200"}}
    pods = {"train": {"timeout_minutes": 600}}
    spec, executors = compiled(tmp_path, train_job={"claim": "recap-shared"}, gpu=gpu, pods=pods)
    told = executors["exec-train"]
    assert told["pvcMount"][0]["mountPath"] == "/mnt/recap"
    assert told["pvcMount"][0]["pvcNameParameter"]["runtimeValue"]["constant"] == "recap-shared"
    assert container(spec, "train")["image"] == "recap-trainer:latest"
    assert container(spec, "train")["resources"]["resourceMemoryLimit"] == "2Gi"
    assert "accelerator" not in container(spec, "train")["resources"]
    places = {
        step: [one["value"] for one in container(spec, step).get("env", []) if one["name"] == VARIABLE]
        for step in (*STEPS, "notify")
    }
    assert {step for step, values in places.items() if values} == {"resolve", "train", "notify"}
    place = TrainJobSettings.model_validate_json(places["train"][0])
    assert place.shared == "/mnt/recap"
    assert place.gpu_image == "recap-trainer-gpu:latest"
    assert place.node_selector == {"pool": "h200"}
    assert place.deadline_minutes == 590
    assert place.secrets == ["recap-object-store", "recap-mlflow"]


def test_only_resolve_gets_the_catalogs_of_tables(tmp_path: Path):
    spec, executors = compiled(tmp_path, secrets={"iceberg": "recap-iceberg"})
    mounts = {step: executors[f"exec-{step}"].get("secretAsVolume", []) for step in STEPS}
    assert {step for step, mounted in mounts.items() if mounted} == {"resolve"}
    assert mounts["resolve"][0]["mountPath"] == "/mnt/iceberg"
    assert {"name": "PYICEBERG_HOME", "value": "/mnt/iceberg"} in container(spec, "resolve")["env"]


def test_an_attempt_at_training_finds_the_checkpoints_of_the_one_before_on_a_claim(tmp_path: Path):
    spec, executors = compiled(tmp_path, checkpoints="recap-checkpoints")
    told = {step: executors[f"exec-{step}"].get("pvcMount", []) for step in STEPS}
    assert [step for step, mounts in told.items() if mounts] == ["train"]
    [mount] = told["train"]
    assert mount["pvcNameParameter"]["runtimeValue"]["constant"] == "recap-checkpoints"
    [variable] = container(spec, "train")["env"]
    assert variable == {"name": CHECKPOINTS_VARIABLE, "value": mount["mountPath"]}


def test_no_executor_limits_accelerators_without_saying_which(tmp_path: Path):
    for settings in ({}, GPUS):
        spec, _ = compiled(tmp_path, **settings)
        for step in (*STEPS, "notify"):
            accelerator = container(spec, step)["resources"].get("accelerator")
            assert accelerator is None or accelerator["resourceType"]


def test_loaders_have_shared_memory():
    _, executors = documents(COMPILED / "retrain.yaml")
    mounts = {mount["mountPath"]: mount for mount in executors["exec-train"]["emptyDirMounts"]}
    assert mounts["/dev/shm"]["medium"] == "Memory"
    assert "/tmp" in mounts


def test_images_are_named_by_registry_and_tag_or_by_digest(tmp_path: Path):
    digest = "sha256:" + "a" * 64
    images = {"prefix": "registry.example/ml/recap-", "tag": "v7", "digests": {"data": digest}}
    spec, executors = compiled(tmp_path, images=images)
    assert container(spec, "validate")["image"] == f"registry.example/ml/recap-data@{digest}"
    assert container(spec, "train")["image"] == "registry.example/ml/recap-trainer:v7"
    assert executors["exec-validate"]["imagePullPolicy"] == "IfNotPresent"
    assert executors["exec-train"]["imagePullPolicy"] == "Always"


def test_the_trainers_for_gpus_and_for_cpus_are_pinned_each_by_its_own_digest(tmp_path: Path):
    cpu, gpu = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    spec, _ = compiled(tmp_path, images={"digests": {"trainer": cpu, "trainer-gpu": gpu}}, **GPUS)
    assert container(spec, "train")["image"] == f"recap-trainer-gpu@{gpu}"
    assert container(spec, "calibrate")["image"] == f"recap-trainer@{cpu}"


def test_a_pods_setting_leaves_the_steps_other_defaults_as_they_are():
    default = ClusterSettings().pod("train")
    larger = ClusterSettings.model_validate({"pods": {"train": {"memory": "64Gi"}}}).pod("train")
    assert larger == default.model_copy(update={"memory": "64Gi"})


@pytest.mark.parametrize(
    "suffix", ["", "k", "K", "Ki", "ki", "M", "Mi", "Gi", "T", "E", "Ei", "m", "GB", ".5Gi"]
)
def test_an_amount_of_memory_that_is_taken_is_one_for_kubernetes_and_compiles(tmp_path: Path, suffix: str):
    content = {"pods": {"train": {"memory": f"64{suffix}"}}}
    if suffix in ("k", "K", "ki", "m", "GB", ".5Gi"):
        with pytest.raises(ValueError, match=r"pods\.train\.memory"):
            ClusterSettings.model_validate(content)
        return
    spec, _ = compiled(tmp_path, **content)
    assert container(spec, "train")["resources"]["resourceMemoryLimit"] == f"64{suffix}"
    assert parse_quantity(f"64{suffix}") >= 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("gpu: {count: -1}", r"cluster.yaml: gpu.count: -1: must be at least 0"),
        ("gpu: {resource: NVIDIA_TESLA_K80}", r"cluster.yaml: gpu.resource: .*must match"),
        ("pods: {train: {memory: 32 GB}}", r"cluster.yaml: pods.train.memory: '32 GB': must match"),
        ("pods: {deploy: {}}", r"cluster.yaml: pods.deploy: .*unknown step; steps: resolve, "),
        (
            "images: {digests: {data: latest}}",
            r"cluster.yaml: images.digests.data: 'latest': must match",
        ),
        ("pods: {train: {retries: 11}}", r"cluster.yaml: pods.train.retries: 11: must be at most 10"),
        ("image: {}", r"cluster.yaml: image: there is no such setting; did you mean images"),
        ("train_job: {}", r"cluster.yaml: train_job.claim: is required"),
        (
            "train_job: {claim: c}\ngpu: {count: 1}",
            r"cluster.yaml: gpu.count: 1: with train_job the step only waits",
        ),
        (
            "train_job: {claim: c}\ncheckpoints: d",
            r"cluster.yaml: checkpoints: d: with train_job they lie on the claim",
        ),
        (
            "train_job: {claim: c}\npods: {train: {timeout_minutes: 10}}",
            r"cluster.yaml: pods.train.timeout_minutes: 10: the job is to end 10 minutes before",
        ),
        ("validate_groups: 4", r"validate_groups: 4: was removed; remove it, and read a log .* on Spark"),
        ("build_groups: 4", r"build_groups: 4: was removed; remove it, and read a log .* on Spark"),
        ("[", r"cluster.yaml: not YAML"),
    ],
)
def test_a_cluster_file_that_is_wrong_is_a_line_with_the_fields_path(
    tmp_path: Path, content: str, message: str
):
    path = tmp_path / "cluster.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_cluster(path)


def test_a_clusters_file_of_the_last_release_names_prepare_build():
    renamed = ClusterSettings.model_validate({"pods": {"build": {"memory": "64Gi"}}, "validate_groups": 1})
    assert renamed.pod("prepare").memory == "64Gi"
