"""Kubernetes settings of a step's pod: image, resources, volumes, secrets, retries, GPUs."""

import json
import re
from typing import Any

from kfp import kubernetes

from components.common.engine import kubernetes as engine
from components.common.runtime.train_job import VARIABLE, TrainJobSettings
from components.steps import Step
from pipeline.cluster.settings import ClusterSettings, GpuSettings, Image, PodSettings

_OBJECT_STORE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION")
_MLFLOW = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_WEBHOOK = ("RECAP_WEBHOOK_URL", "RECAP_WEBHOOK_SECRET")
_CHECKPOINTS = "/mnt/checkpoints"
_ICEBERG = "/mnt/iceberg"
SPARK_STEPS = ("validate", "prepare")
# A pod's time-out starts when it is scheduled on a node, that of all attempts when the first one is requested.
_SLACK_S = 24 * 3600


def request_resources(task: Any, step: Step, settings: ClusterSettings) -> None:
    """Set the image, resources, volumes, secrets and retries of a step's pod.

    Args:
        task: a `kfp.dsl.PipelineTask`, modified in place.
    """
    pod, name = settings.pod(step.name), step.name
    on_gpu = name == "train" and settings.gpu.count > 0
    on_spark = name in SPARK_STEPS and settings.spark is not None
    image = settings.images.name("trainer-gpu" if on_gpu else "data-spark" if on_spark else step.image)
    task.set_container_image(image)
    task.set_cpu_request(pod.cpu)
    if pod.cpu_limit is not None:
        task.set_cpu_limit(pod.cpu_limit)
    # Without a limit, another pod's growth could take requested memory: request and limit are equal.
    task.set_memory_request(pod.memory).set_memory_limit(pod.memory)
    if on_gpu:
        request_gpus(task, settings.gpu)
    # Every step is idempotent: outputs are atomic, register finds the run's version, and promote finds a completed
    # promotion by its token.
    if pod.retries and name != "notify":
        _retry(task, pod)
    # kfp's cache keys are URIs, which are new in every run, and image names, whose code may change; and most steps
    # read a registry or a log that changes.
    task.set_caching_options(enable_caching=False)
    kubernetes.set_timeout(task, pod.timeout_minutes * 60)
    kubernetes.set_image_pull_policy(task, "IfNotPresent" if "@" in image else "Always")
    kubernetes.set_security_context(
        task, run_as_user=settings.run_as_user, run_as_group=settings.run_as_user, run_as_non_root=True
    )
    kubernetes.empty_dir_mount(task, "scratch", "/tmp", size_limit=pod.scratch)
    if name == "train":
        kubernetes.empty_dir_mount(
            task, "shared-memory", "/dev/shm", medium="Memory", size_limit=settings.shared_memory
        )
    if name == "register":
        task.set_env_variable("RECAP_IMAGES", _images(settings))
    _mount_secrets(task, step, settings)
    if settings.train_job is not None and name in ("resolve", "train", "notify"):
        task.set_env_variable(VARIABLE, train_job_settings(settings).model_dump_json())
    if settings.train_job is not None and name == "train":
        kubernetes.mount_pvc(task, settings.train_job.claim, settings.train_job.shared)
    if on_spark:
        task.set_env_variable(engine.VARIABLE, executor_settings(settings).model_dump_json())
        kubernetes.use_field_path_as_env(task, engine.POD_IP, "status.podIP")
        kubernetes.use_field_path_as_env(task, engine.POD_NAME, "metadata.name")
    if settings.checkpoints is not None and name == "train":
        # Files beside the step's output are lost with the pod.
        kubernetes.mount_pvc(task, settings.checkpoints, _CHECKPOINTS)
        task.set_env_variable("RECAP_CHECKPOINTS", _CHECKPOINTS)


def _retry(task: Any, pod: PodSettings) -> None:
    """Retry a failed step after 1, 2, 4, … minutes.

    Argo counts kfp's maximum back-off from the start of the first attempt: later failures are not retried, and an
    attempt that still runs then is killed. So it covers all attempts and the waits between them.
    """
    waits_s = 60 * (2**pod.retries - 1)
    attempts_s = 60 * pod.timeout_minutes * (pod.retries + 1)
    task.set_retry(
        pod.retries,
        backoff_duration="60s",
        backoff_factor=2.0,
        backoff_max_duration=f"{attempts_s + waits_s + _SLACK_S}s",
    )


def train_job_settings(settings: ClusterSettings) -> TrainJobSettings:
    """The resources of a training job's nodes; ``settings.train_job`` must be set."""
    job, gpu = settings.train_job, settings.gpu
    assert job is not None
    return TrainJobSettings(
        claim=job.claim,
        shared=job.shared,
        cpu_image=settings.images.name("trainer"),
        gpu_image=settings.images.name("trainer-gpu"),
        cpu=job.cpu,
        memory=job.memory,
        scratch=job.scratch,
        shared_memory=settings.shared_memory,
        gpu_resource=gpu.resource,
        node_selector=gpu.node_selector,
        toleration=gpu.toleration,
        secrets=[settings.secrets.object_store, settings.secrets.mlflow],
        user=settings.run_as_user,
        runtime=job.runtime,
        service_account=job.service_account,
        deadline_minutes=settings.job_deadline_minutes,
    )


def executor_settings(settings: ClusterSettings) -> engine.ExecutorSettings:
    """The resources of Spark's executors; ``settings.spark`` must be set."""
    spark = settings.spark
    assert spark is not None
    return engine.ExecutorSettings(
        image=settings.images.name("data-spark"),
        executors=spark.executors,
        cores=spark.cores,
        memory_mib=_mebibytes(spark.memory),
        scratch=spark.scratch,
        node_selector=spark.node_selector,
        toleration=spark.toleration,
        secrets=[settings.secrets.object_store],
        user=settings.run_as_user,
        service_account=spark.service_account,
    )


def _mebibytes(quantity: str) -> int:
    """A Kubernetes quantity of bytes in MiB, rounded down."""
    number, unit = re.fullmatch(r"([0-9]+)([KMGTPE]?i?)", quantity).groups()  # type: ignore[union-attr]
    power = " KMGTPE".index(unit[:1] or " ")
    return int(number) * (1024 if unit.endswith("i") else 1000) ** power // 2**20


def used_images(settings: ClusterSettings) -> tuple[Image, ...]:
    """The kinds of images that the steps of a run use."""
    data: Image = "data-spark" if settings.spark is not None else "data"
    return (data, "trainer-gpu" if settings.gpu.count else "trainer", "registry")


def _images(settings: ClusterSettings) -> str:
    """The images of a run's steps, for its version's lineage."""
    return json.dumps({kind: settings.images.name(kind) for kind in used_images(settings)})


def request_gpus(task: Any, gpu: GpuSettings) -> None:
    """Request GPUs by the device plugin's resource name, on nodes that have them.

    kfp's driver ignores a limit without a type, so both are set together, and only here.
    Raises ValueError for a count under 1.
    """
    if gpu.count < 1:
        raise ValueError(f"gpu.count: {gpu.count}: must be at least 1 to request GPUs")
    task.set_accelerator_type(gpu.resource).set_accelerator_limit(gpu.count)
    for label, value in gpu.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    if gpu.toleration is not None:
        kubernetes.add_toleration(task, key=gpu.toleration, operator="Exists", effect="NoSchedule")


def _mount_secrets(task: Any, step: Step, settings: ClusterSettings) -> None:
    secrets = settings.secrets
    given: dict[str, tuple[str, ...]] = {secrets.object_store: _OBJECT_STORE}
    # Training may warm-start from the champion's weights in the registry.
    if step.image == "registry" or step.name == "train":
        given[secrets.mlflow] = _MLFLOW
    if step.name in ("promote", "watch", "notify"):
        given[secrets.webhook] = _WEBHOOK
    for name, keys in given.items():
        kubernetes.use_secret_as_env(task, name, {key: key for key in keys}, optional=True)
    if secrets.iceberg is not None and step.name == "resolve":
        kubernetes.use_secret_as_volume(task, secrets.iceberg, _ICEBERG)
        task.set_env_variable("PYICEBERG_HOME", _ICEBERG)
