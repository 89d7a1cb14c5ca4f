"""The name of a multi-node training job and the resources of its nodes, passed to steps in the environment.

`pipeline.cluster.pod_resources` writes ``RECAP_TRAIN_JOB`` from the cluster file; resolve, train and notify read it.
"""

import hashlib
import os
import re

from pydantic import NonNegativeInt, PositiveInt, ValidationError

from recap_model.config import RecapConfig, StrictModel
from recap_model.config.reading.errors import first_reason
from recap_model.config.steps.training import TrainJobConfig

VARIABLE = "RECAP_TRAIN_JOB"
GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
# A pod's name, the job's with up to 20 characters more, is a host's name, which has 63 at most.
_PLAIN_RUN_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,35}[a-z0-9])?")


class JobPlace(StrictModel):
    """What the nodes of a training job are given.

    Attributes:
        shared: folder that the train step and all nodes see, on the volume of ``claim``.
        cpu_image, gpu_image: which one is taken follows from ``training.distribution.gpus_per_node``.
        cpu, memory, scratch, shared_memory: of each node, as Kubernetes writes quantities.
        node_selector, toleration: of nodes with GPUs.
        secrets: names of Kubernetes secrets whose keys are to be environment variables; one may be missing.
        runtime: the TrainingRuntime or ClusterTrainingRuntime that the job is an instance of.
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


def job_place() -> JobPlace | None:
    """Where training jobs run, or None where there is no such place. Raises ValueError if it cannot be read."""
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    try:
        return JobPlace.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"{VARIABLE}: {first_reason(error)}; compile the pipeline again") from None


def check_distribution(config: RecapConfig) -> JobPlace | None:
    """Hold ``training.distribution`` to where the run is; returns where its job runs, None if it has none.

    Raises ValueError if the config asks for a job and there is no place for one, or the other way round.
    """
    place, wanted = job_place(), isinstance(config.training.distribution, TrainJobConfig)
    if wanted and place is None:
        raise ValueError(
            "training.distribution.kind: train_job runs on a cluster whose file has train_job (recap submit "
            "--cluster; see docs/cluster.md, Many nodes); this run is on no such cluster: take single_node"
        )
    if place is not None and not wanted:
        raise ValueError(
            "training.distribution.kind: the cluster's file has train_job, so the train step only waits for a job; "
            "take train_job, with nodes and gpus_per_node, or leave train_job out of the cluster's file"
        )
    return place
