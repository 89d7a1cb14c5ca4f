"""The name of a multi-node training job and the resources of its nodes, passed to steps in the environment.

`pipeline.cluster.pod_resources` writes ``RECAP_TRAIN_JOB`` from the cluster file; resolve, train and notify read it.
"""

import hashlib
import re

from pydantic import NonNegativeInt, PositiveInt

from components.common.runtime.environment_settings import read_settings
from recap_model.config import RecapConfig, StrictModel
from recap_model.config.steps.training import TrainJobConfig

VARIABLE = "RECAP_TRAIN_JOB"
GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
# A pod's name, the job's with up to 20 characters more, is a host's name, which has 63 at most.
_PLAIN_RUN_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,35}[a-z0-9])?")


class TrainJobSettings(StrictModel):
    """Images, resources and volumes of a training job's nodes.

    Attributes:
        shared: folder on the volume of ``claim``, mounted by the train step and all nodes.
        cpu_image, gpu_image: ``training.distribution.gpus_per_node`` decides which one is used.
        cpu, memory, scratch, shared_memory: per node, as Kubernetes quantities.
        node_selector, toleration: for nodes with GPUs.
        secrets: names of Kubernetes secrets whose keys become environment variables; one may be missing.
        runtime: the TrainingRuntime or ClusterTrainingRuntime that the job references.
        service_account: of the nodes' pods; the namespace's default if None.
    """

    claim: str
    shared: str
    cpu_image: str
    gpu_image: str
    cpu: str
    memory: str
    scratch: str
    shared_memory: str
    gpu_resource: str
    node_selector: dict[str, str] = {}
    toleration: str | None = None
    secrets: list[str] = []
    user: NonNegativeInt
    runtime: str
    service_account: str | None = None
    deadline_minutes: PositiveInt


def job_name(run_id: str) -> str:
    """The name of a run's training job: the same in every attempt of the step, a DNS label (RFC 1035)."""
    if _PLAIN_RUN_ID.fullmatch(run_id):
        return f"recap-{run_id}"
    return f"recap-{hashlib.sha256(run_id.encode()).hexdigest()[:32]}"


def train_job_settings() -> TrainJobSettings | None:
    """The settings of training jobs, or None if the cluster has none. Raises ValueError if they cannot be read."""
    return read_settings(VARIABLE, TrainJobSettings)


def check_distribution(config: RecapConfig) -> TrainJobSettings | None:
    """Check ``training.distribution`` against the cluster; returns the job's settings, None for a single node.

    Raises ValueError if the config wants a job and the cluster has no settings for one, or the reverse.
    """
    settings, wanted = train_job_settings(), isinstance(config.training.distribution, TrainJobConfig)
    if wanted and settings is None:
        raise ValueError(
            "training.distribution.kind: train_job needs a cluster whose file has train_job (recap submit "
            "--cluster; see docs/cluster.md, Many nodes), and this run has none; use single_node"
        )
    if settings is not None and not wanted:
        raise ValueError(
            "training.distribution.kind: the cluster's file has train_job, so the train step only waits for a job; "
            "use train_job, with nodes and gpus_per_node, or remove train_job from the cluster's file"
        )
    return settings
