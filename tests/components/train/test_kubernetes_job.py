"""TrainJobs on a Kubernetes API, from the manifest to the end, over a real socket."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob
from kubernetes.config import kube_config

from components.common.runtime.step import RetryableError
from components.common.runtime.train_job import TrainJobSettings
from components.notify.cleanup import delete_training_job
from components.train.kubernetes import wait
from components.train.kubernetes.job_client import JobRequest, KubernetesJob
from components.train.kubernetes.wait import JobFailedError, run_to_end
from recap_model.config.steps.training import TrainJobConfig
from tests.components.train.kubernetes_api import SCHEMA, KubernetesApi, serving

NAME = "recap-run-1"
PLACE = TrainJobSettings(
    claim="recap-shared",
    shared="/mnt/recap",
    cpu_image="registry.example/recap-trainer:v1",
    gpu_image="registry.example/recap-trainer-gpu@sha256:" + "0" * 64,
    cpu="16",
    memory="128Gi",
    scratch="20Gi",
    shared_memory="2Gi",
    gpu_resource="nvidia.com/gpu",
    node_selector={"pool": "gpus"},
    toleration="nvidia.com/gpu",
    secrets=["recap-object-store", "recap-mlflow"],
    user=10001,
    runtime="torch-distributed",
    service_account="trainer",
    deadline_minutes=60,
)


def request(gpus: int = 4) -> JobRequest:
    size = TrainJobConfig(kind="train_job", nodes=2, gpus_per_node=gpus)
    return JobRequest(
        NAME, size, PLACE, "components.train.local.worker", ["/mnt/recap/a", "b"], {"RECAP": "1"}
    )


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    monkeypatch.setattr(wait, "_POLL_S", 0.05)
    with serving() as running:
        monkeypatch.setattr(
            kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(running.kubeconfig(tmp_path / "kubeconfig"))
        )
        yield running


def run(deadline_s: float = 20.0, stop: Any = lambda: False, take: Any = lambda: None) -> list[str]:
    """Run the job to its end; returns what was done on the way."""
    done: list[str] = []
    run_to_end(
        KubernetesJob(request()),
        lambda: done.append("prepared"),
        lambda: (done.append("taken"), take()),  # type: ignore[arg-type,func-returns-value]
        deadline_s=deadline_s,
        stop=stop,
    )
    return done


def later(condition: Any, act: Any) -> None:
    """Act as soon as a condition holds."""

    def wait() -> None:
        while not condition():
            time.sleep(0.01)
        act()

    threading.Thread(target=wait, daemon=True).start()


def created(server: KubernetesApi, gpus: int = 4) -> dict[str, Any]:
    """The manifest that the API is sent."""
    KubernetesJob(request(gpus)).create()
    return server.created[-1]


def test_the_manifest_says_all_that_the_nodes_need(server: KubernetesApi):
    job = created(server)
    spec = job["spec"]
    resources = {"cpu": "16", "memory": "128Gi", "nvidia.com/gpu": "4"}
    assert job["metadata"] == {"name": NAME, "labels": {"app.kubernetes.io/part-of": "recap"}}
    assert spec["runtimeRef"] == {"kind": "ClusterTrainingRuntime", "name": "torch-distributed"}
    assert spec["activeDeadlineSeconds"] == 3600
    assert spec["trainer"] == {
        "image": PLACE.gpu_image,
        "numNodes": 2,
        "command": [
            "torchrun",
            "--nproc-per-node=4",
            "--module",
            "components.train.local.worker",
            "/mnt/recap/a",
            "b",
        ],
        "env": [{"name": "RECAP", "value": "1"}],
        "resourcesPerNode": {"limits": resources, "requests": resources},
    }
    (nodes,) = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = nodes["template"]["spec"]["template"]["spec"]
    assert nodes["name"] == "node"
    assert pod["nodeSelector"] == {"pool": "gpus"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["serviceAccountName"] == "trainer"
    assert pod["securityContext"]["runAsUser"] == 10001
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {
        "shared": "/mnt/recap",
        "scratch": "/tmp",
        "shared-memory": "/dev/shm",
        "secrets": "/var/run/recap/secrets",
    }
    volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
    assert volumes["shared"] == {"persistentVolumeClaim": {"claimName": "recap-shared"}}
    assert volumes["shared-memory"] == {"emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}
    assert set(volumes) == set(mounted)


def test_nodes_without_gpus_run_one_process_each_on_any_node(server: KubernetesApi):
    spec = created(server, gpus=0)["spec"]
    assert spec["trainer"]["image"] == PLACE.cpu_image
    assert spec["trainer"]["command"][1] == "--nproc-per-node=1"
    assert spec["trainer"]["resourcesPerNode"]["limits"] == {"cpu": "16", "memory": "128Gi"}
    text = json.dumps(spec)
    assert "tolerations" not in text
    assert "nodeSelector" not in text


@pytest.mark.parametrize("gpus", [0, 4])
def test_the_manifest_is_what_the_crd_and_the_published_openapi_take(server: KubernetesApi, gpus: int):
    job = created(server, gpus)
    jsonschema.validate(job, SCHEMA)
    # What the OpenAPI description does not know is lost on the way through its models.
    assert TrainerV1alpha1TrainJob.from_dict(job).to_dict() == job


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "1recap"),
        ("metadata.name", "recap_run"),
        ("metadata.name", "r" * 64),
        ("metadata.labels", {"recap": "a b"}),
        ("spec.runtimeRef", {}),
        ("spec.activeDeadlineSeconds", 0),
        ("spec.podTemplateOverrides", []),
        ("spec.trainer.numNodes", "2"),
        ("spec.trainer.nodeSelector", {"pool": "gpus"}),
        ("spec.trainer.image", "i" * 501),
        ("spec.trainer.resourcesPerNode.limits.memory", "128 GB"),
        ("spec.runtimePatches.0.manager", ""),
        ("spec.runtimePatches.0.trainingRuntimeSpec.template.spec.replicatedJobs.0.name", "Node"),
        ("spec.runtimePatches.0.trainingRuntimeSpec.template.spec.replicatedJobs.0.replicas", 2),
    ],
)
def test_a_manifest_with_one_wrong_field_is_refused(server: KubernetesApi, path: str, value: Any):
    job = created(server)
    *parents, last = path.split(".")
    place: Any = job
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, SCHEMA)


def test_a_job_is_created_waited_for_and_deleted(
    server: KubernetesApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    log = server.logs[f"{NAME}-node-0-0-a"] = tmp_path / "log"
    log.write_text("one\n")

    def go_on() -> None:
        with log.open("a") as stream:
            stream.write("recap-progress: 0.5000 step 1/2\n")
        server.end(NAME, "Complete")

    later(lambda: any(path.endswith("/log") for _, path in server.asked), go_on)
    assert run() == ["prepared", "taken"]
    assert server.asked_to("POST") == server.asked_to("DELETE") == 1
    assert server.jobs == {}
    assert capsys.readouterr().out.splitlines() == ["one", "recap-progress: 0.5000 step 1/2"]


@pytest.mark.parametrize("ended", [False, True])
def test_another_attempt_finds_the_job_and_starts_no_second(server: KubernetesApi, ended: bool):
    server.add(NAME)
    if ended:
        server.end(NAME, "Complete")
    else:
        later(lambda: server.asked_to("GET") > 3, lambda: server.end(NAME, "Complete"))
    assert run() == ["taken"]
    assert server.created == []
    assert server.jobs == {}


def test_a_job_that_someone_else_has_just_created_is_taken_up(server: KubernetesApi):
    job = KubernetesJob(request())
    job.create()
    job.create()
    assert len(server.created) == 1


def test_a_failed_job_of_an_earlier_attempt_makes_way_once_it_is_gone(server: KubernetesApi):
    server.add(NAME)
    server.end(NAME, "Failed")
    server.leaving_looks = 3
    later(lambda: server.created, lambda: server.end(NAME, "Complete"))
    assert run() == ["prepared", "taken"]
    assert len(server.created) == 1


def test_a_job_that_fails_is_told_with_the_clusters_words_and_deleted(server: KubernetesApi):
    server.events.append((NAME, "0/3 nodes are available:\n3 Insufficient nvidia.com/gpu"))
    later(lambda: server.created, lambda: server.end(NAME, "Failed", "DeadlineExceeded", "too long"))
    with pytest.raises(JobFailedError) as caught:
        run()
    assert str(caught.value) == (
        f"training job {NAME} failed: DeadlineExceeded: too long; last event: FailedScheduling: 0/3 nodes are "
        "available: 3 Insufficient nvidia.com/gpu"
    )
    assert server.jobs == {}


def test_a_job_without_an_end_is_given_up_at_the_deadline_and_deleted(server: KubernetesApi):
    server.events.append((NAME, "3 Insufficient nvidia.com/gpu"))
    with pytest.raises(
        TimeoutError, match=r"not finished after 0 minutes, .*; last event: FailedScheduling: 3 Insuff"
    ):
        run(deadline_s=0.6)
    assert server.jobs == {}


def test_a_job_that_someone_deletes_ends_the_step(server: KubernetesApi):
    later(lambda: server.created, lambda: server.delete(NAME))
    with pytest.raises(JobFailedError, match="was deleted, and not by this step; run it again"):
        run()
    assert len(server.created) == 1


def test_a_step_that_is_asked_to_stop_deletes_its_job(server: KubernetesApi):
    with pytest.raises(
        RetryableError, match="asked to stop, so training job recap-run-1 is deleted; run the step"
    ):
        run(stop=lambda: bool(server.created))
    assert server.jobs == {}


def test_a_step_that_dies_while_it_takes_the_model_over_finds_it_again(server: KubernetesApi):
    def die() -> None:
        assert NAME in server.jobs
        raise KeyboardInterrupt

    later(lambda: server.created, lambda: server.end(NAME, "Complete"))
    with pytest.raises(KeyboardInterrupt):
        run(take=die)


@pytest.mark.parametrize("how", ["silent", "refuse"])
def test_a_cluster_that_does_not_answer_for_a_while_ends_nothing(
    server: KubernetesApi, how: str, caplog: pytest.LogCaptureFixture
):
    def go() -> None:
        setattr(server, how, {"silent": True, "refuse": (503, "leader lost")}[how])
        server.end(NAME, "Complete")
        before = len(server.asked)
        later(lambda: len(server.asked) > before + 24, come_back)

    def come_back() -> None:
        server.silent, server.refuse = False, None

    later(lambda: server.created, go)
    with caplog.at_level("INFO", logger="components.train.kubernetes.wait"):
        assert run() == ["prepared", "taken"]
    assert len(server.created) == 1
    said = [record.getMessage() for record in caplog.records]
    assert sum("event=no_answer" in line for line in said) == 1
    assert sum("event=answers_again" in line for line in said) == 1


def test_a_cluster_that_never_answers_is_told_at_the_deadline(server: KubernetesApi):
    server.silent = True
    with pytest.raises(
        TimeoutError, match=r"the cluster does not answer: training job recap-run-1 cannot be read"
    ):
        run(deadline_s=0.3)


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (403, PermissionError, "403: no; the step's service account needs the role in docs/cluster.md"),
        (422, ValueError, "422: no"),
    ],
)
def test_a_refusal_is_one_line_and_ends_the_step(
    server: KubernetesApi, status: int, kind: type[Exception], message: str
):
    server.refuse = (status, "no")
    with pytest.raises(kind) as caught:
        run()
    assert str(caught.value) == f"training job {NAME} cannot be read: {message}"


def test_a_cluster_without_the_runtime_is_told_what_it_lacks(server: KubernetesApi):
    server.lacking.add("/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/torch-distributed")
    with pytest.raises(
        FileNotFoundError, match="has no runtime 'torch-distributed', or no Kubeflow Trainer 2; inst"
    ):
        run()


def test_no_cluster_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(
        ConnectionError, match="training job recap-run-1: no Kubernetes cluster is configured"
    ):
        KubernetesJob(request())


def test_the_runs_last_step_deletes_a_job_that_is_left(
    server: KubernetesApi, monkeypatch: pytest.MonkeyPatch
):
    server.add(NAME)
    assert not delete_training_job("run-1")
    assert NAME in server.jobs
    monkeypatch.setenv("RECAP_TRAIN_JOB", PLACE.model_dump_json())
    assert delete_training_job("run-1")
    assert server.jobs == {}
    assert not delete_training_job("run-1")


def test_the_runs_last_step_never_fails_by_what_it_cannot_delete(
    server: KubernetesApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    monkeypatch.setenv("RECAP_TRAIN_JOB", PLACE.model_dump_json())
    server.refuse = (403, "no")
    assert not delete_training_job("run-1")
    server.silent = True
    assert not delete_training_job("run-1")
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    assert not delete_training_job("run-1")
    assert [
        record.getMessage()[:40] for record in caplog.records if "job_not_deleted" in record.getMessage()
    ] == ["event=job_not_deleted job=recap-run-1 re"] * 3
