"""The cluster file: images, pod resources, GPUs, secrets and volumes of a cluster, all with defaults."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from components.steps import STEP_OF_NAME
from recap_model.config.base import StrictModel
from recap_model.config.fields.numbers import PositiveInt
from recap_model.config.fields.uris import Address
from recap_model.config.reading.checking import check
from recap_model.config.reading.yaml import read_yaml


def _check_step(name: str) -> str:
    if name not in STEP_OF_NAME:
        raise ValueError(f"unknown step; steps: {', '.join(STEP_OF_NAME)}")
    return name


def _refuse_groups(groups: int) -> int:
    if groups != 1:
        raise ValueError(
            "was removed; remove it, and read a log too large for one pod on Spark (data.engine in the config)"
        )
    return groups


RemovedGroups = Annotated[int, AfterValidator(_refuse_groups)]
StepName = Annotated[str, AfterValidator(_check_step)]
Image = Literal["data", "data-spark", "trainer", "trainer-gpu", "registry"]
# The intersection of what kfp (no fractions of bytes, no k) and Kubernetes (no K) accept.
Cpu = Annotated[str, Field(pattern=r"^([0-9]+(\.[0-9]+)?|[0-9]+m)$")]
Bytes = Annotated[str, Field(pattern=r"^[0-9]+([KMGTPE]i|[MGTPE])?$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class ImageSettings(StrictModel):
    """Image references: ``PREFIX`` + kind + ``:TAG``, or by digest."""

    prefix: str = Field(
        "recap-", description="registry and beginning of the names, as registry.example/team/recap-"
    )
    tag: str = "latest"
    digests: dict[Image, Digest] = Field({}, description="pins an image; its tag is then ignored")

    def name(self, kind: Image) -> str:
        """The reference of an image."""
        base = f"{self.prefix}{kind}"
        return f"{base}@{self.digests[kind]}" if kind in self.digests else f"{base}:{self.tag}"


class PodSettings(StrictModel):
    """Resources of one step's pod: guaranteed requests, and limits."""

    cpu: Cpu = "2"
    cpu_limit: Cpu | None = Field(None, description="no limit if not given")
    memory: Bytes = "8Gi"
    scratch: Bytes = Field("20Gi", description="size of /tmp")
    timeout_minutes: Annotated[int, Field(ge=1, le=525_600)] = 120
    retries: int = Field(2, ge=0, le=10, description="after a failure, waiting 1, 2, 4, … minutes")


class GpuSettings(StrictModel):
    """GPUs of the training step. A count of 0 trains on CPUs with image ``trainer``, otherwise ``trainer-gpu``."""

    count: Annotated[int, Field(ge=0, le=1_000)] = 0
    resource: str = Field("nvidia.com/gpu", pattern=r"^[a-z0-9.-]+\.[a-z]+/[a-zA-Z0-9._-]+$")
    node_selector: dict[str, str] = Field({}, description="labels of the GPU nodes")
    toleration: str | None = Field("nvidia.com/gpu", description="key of the GPU nodes' taint")


class TrainJobSettings(StrictModel):
    """Training on several nodes by Kubeflow Trainer, for configs with ``training.distribution.kind: train_job``.

    The resource, node selector and toleration of `gpu` apply to the job's nodes.
    """

    claim: str = Field(
        min_length=1,
        description="PersistentVolumeClaim, ReadWriteMany, that the train step and all nodes mount",
    )
    shared: str = Field("/mnt/recap", pattern=r"^/[^:]+$", description="mount path")
    cpu: Cpu = Field("8", description="per node, as are memory and scratch")
    memory: Bytes = "32Gi"
    scratch: Bytes = "20Gi"
    runtime: str = Field("torch-distributed", description="TrainingRuntime or ClusterTrainingRuntime")
    service_account: str | None = Field(
        None, description="of the nodes' pods; the namespace's default if not given"
    )


class SparkSettings(StrictModel):
    """Executors of validate and prepare, pods that end with the step's, for ``data.engine.kind: spark``."""

    executors: PositiveInt = 4
    cores: PositiveInt = Field(4, description="per executor")
    memory: Bytes = Field(
        "16Gi", description="per executor: Spark's own, and the Python processes' that read rows"
    )
    scratch: Bytes = Field("100Gi", description="per executor: disk for rows on their way to their shard")
    node_selector: dict[str, str] = {}
    toleration: str | None = Field(None, description="key of the nodes' taint")
    service_account: str | None = Field(
        None, description="of the executors' pods; the namespace's default if not given"
    )


class ServingSettings(StrictModel):
    """An InferenceService of KServe that serves the champion; see `recap deploy`."""

    name: str = Field(
        pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$",
        description="of the InferenceService, part of its address",
    )
    tracking_uri: Address = Field(description="the registry's URI as the pods reach it")
    replicas: Annotated[int, Field(ge=1, le=1_000)] = 2
    cpu: Cpu = Field("2", description="per pod, as are memory and scratch")
    memory: Bytes = Field("4Gi", description="two models are in memory while a version is loaded by an alias")
    scratch: Bytes = Field("4Gi", description="size of /tmp, where a version is downloaded to")
    stages: list[Annotated[int, Field(ge=1, le=99)]] = Field(
        [10, 50], description="percentages of the traffic for a new version, before it gets all"
    )
    stage_minutes: Annotated[float, Field(ge=0, le=10_080)] = Field(
        10, description="how long each stage lasts"
    )
    ready_minutes: Annotated[float, Field(gt=0, le=1_440)] = Field(
        15, description="how long a version may take to be ready"
    )
    prediction_log: Address | None = Field(
        None, description="URI for served rows and scores; stages are then checked by them"
    )
    max_score_psi: Annotated[float, Field(gt=0)] = Field(
        0.25, description="largest change of a task's predictions between the versions at a stage"
    )
    service_account: str | None = Field(None, description="of the pods; the namespace's default if not given")

    @field_validator("stages")
    @classmethod
    def _check_order(cls, stages: list[int]) -> list[int]:
        if stages != sorted(set(stages)):
            raise ValueError("has to rise from stage to stage")
        return stages


class SecretSettings(StrictModel):
    """Names of Kubernetes secrets whose keys become environment variables; a secret may be missing."""

    object_store: str = Field(
        "recap-object-store", description="AWS_ACCESS_KEY_ID, …_SECRET_ACCESS_KEY, …ENDPOINT_URL"
    )
    mlflow: str = Field("recap-mlflow", description="MLFLOW_TRACKING_USERNAME, …_PASSWORD, …_TOKEN")
    webhook: str = Field("recap-webhook", description="RECAP_WEBHOOK_URL, RECAP_WEBHOOK_SECRET")
    iceberg: str | None = Field(
        None, description=".pyiceberg.yaml with the catalogs, mounted as a file, of resolve only"
    )


_PODS: dict[StepName, PodSettings] = {
    "resolve": PodSettings(cpu="1", memory="2Gi", scratch="1Gi", timeout_minutes=60),
    "validate": PodSettings(cpu="4", memory="16Gi"),
    "prepare": PodSettings(cpu="4", memory="16Gi", scratch="100Gi", timeout_minutes=360),
    "train": PodSettings(cpu="8", memory="32Gi", scratch="100Gi", timeout_minutes=1440, retries=5),
    "calibrate": PodSettings(cpu="4", memory="16Gi"),
    "evaluate": PodSettings(cpu="4", memory="16Gi"),
    "register": PodSettings(cpu="2", memory="8Gi", timeout_minutes=60),
    "promote": PodSettings(cpu="1", memory="4Gi", timeout_minutes=30),
    "watch": PodSettings(cpu="4", memory="16Gi"),
    "notify": PodSettings(cpu="500m", memory="1Gi", scratch="1Gi", timeout_minutes=10),
}


_WAITING_POD = PodSettings(cpu="500m", memory="2Gi", scratch="10Gi", timeout_minutes=1440, retries=5)
_JOB_ENDS_EARLIER_MINUTES = 10


class ClusterSettings(StrictModel):
    """A cluster file; see `docs/cluster.md`."""

    images: ImageSettings = ImageSettings()
    pods: dict[StepName, PodSettings] = Field({}, description="overrides the step's defaults field by field")
    gpu: GpuSettings = GpuSettings()
    shared_memory: Bytes = Field("2Gi", description="/dev/shm of train, used by data loaders")
    checkpoints: str | None = Field(
        None,
        min_length=1,
        description="PersistentVolumeClaim for training checkpoints; "
        "without it a retry starts from the beginning",
    )
    train_job: TrainJobSettings | None = Field(
        None, description="the train step then waits for a job, and its own pod requests little"
    )
    spark: SparkSettings | None = Field(
        None, description="validate and prepare then run in the image data-spark, and may start executors"
    )
    serving: ServingSettings | None = Field(None, description="where recap deploy serves the champion")
    validate_groups: RemovedGroups = Field(1, description="of earlier revisions; only 1 is accepted")
    build_groups: RemovedGroups = Field(1, description="of earlier revisions; only 1 is accepted")
    secrets: SecretSettings = SecretSettings()
    run_as_user: Annotated[int, Field(ge=1, le=2**31 - 1)] = 10001

    def pod(self, step: str) -> PodSettings:
        """The resources of a step's pod."""
        given = self.pods.get(step)
        default = (
            _WAITING_POD if step == "train" and self.train_job is not None else _PODS.get(step, PodSettings())
        )
        return default.model_copy(update=given.model_dump(exclude_unset=True)) if given else default

    @property
    def job_deadline_minutes(self) -> int:
        """The job's deadline; shorter than the train step's time-out, so that the step ends the job."""
        return self.pod("train").timeout_minutes - _JOB_ENDS_EARLIER_MINUTES

    @model_validator(mode="before")
    @classmethod
    def _rename_build(cls, given: object) -> object:
        """Accept ``build``, the earlier name of the step ``prepare``."""
        pods = given.get("pods") if isinstance(given, dict) else None
        if isinstance(given, dict) and isinstance(pods, dict) and "build" in pods and "prepare" not in pods:
            return {
                **given,
                "pods": {"prepare" if step == "build" else step: pod for step, pod in pods.items()},
            }
        return given

    @model_validator(mode="after")
    def _check_train_job(self) -> "ClusterSettings":
        if self.train_job is None:
            return self
        if self.gpu.count:
            raise ValueError(
                f"gpu.count: {self.gpu.count}: with train_job the step only waits, and the config's "
                "training.distribution.gpus_per_node asks for GPUs; leave it out"
            )
        if self.checkpoints is not None:
            raise ValueError(
                f"checkpoints: {self.checkpoints}: with train_job they lie on the claim that its nodes share "
                "(train_job.claim); leave it out"
            )
        if self.job_deadline_minutes < 1:
            raise ValueError(
                f"pods.train.timeout_minutes: {self.pod('train').timeout_minutes}: the job is to end "
                f"{_JOB_ENDS_EARLIER_MINUTES} minutes before; give more than that"
            )
        return self


def load_cluster(path: str | Path | None) -> ClusterSettings:
    """Read a cluster file; all defaults if ``path`` is None.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: one line for each error, with the path of its field.
    """
    if path is None:
        return ClusterSettings()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such cluster file")
    return check(ClusterSettings, read_yaml(path.read_bytes(), str(path)) or {}, str(path))
