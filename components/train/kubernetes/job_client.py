"""A TrainJob of Kubeflow Trainer on Kubernetes, through the kubeflow SDK."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubeflow.trainer import CustomTrainerContainer, TrainerClient
from kubeflow.trainer.constants import constants
from kubeflow.trainer.options import (
    ActiveDeadlineSeconds,
    Labels,
    Name,
    RuntimePatch,
    TrainerCommand,
)
from kubeflow.trainer.options.kubernetes import (
    ContainerPatch,
    JobSetSpecPatch,
    JobSetTemplatePatch,
    JobSpecPatch,
    JobTemplatePatch,
    PodSpecPatch,
    PodTemplatePatch,
    ReplicatedJobPatch,
    TrainingRuntimeSpecPatch,
)
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from components.common.runtime.train_job import GROUP, PLURAL, VERSION, TrainJobSettings
from components.train.kubernetes.wait import JobStatus
from recap_model.config.reading.errors import in_one_line
from recap_model.config.steps.training import TrainJobConfig

SECRETS_FOLDER = "/var/run/recap/secrets"
_RANK_0 = "node-0"
_REQUEST_TIMEOUTS_S = (10.0, 60.0)


@dataclass(frozen=True)
class JobRequest:
    """The fields of a TrainJob: its size, its settings, and the command of its nodes' processes.

    ``module`` and ``arguments`` are run under torchrun; ``environment`` has plain values.
    """

    name: str
    size: TrainJobConfig
    settings: TrainJobSettings
    module: str
    arguments: list[str]
    environment: dict[str, str]

    def trainer(self) -> CustomTrainerContainer:
        """Image, number of nodes, and resources, which are requests and limits at once."""
        settings, gpus = self.settings, self.size.gpus_per_node
        resources: dict[str, Any] = {"cpu": settings.cpu, "memory": settings.memory}
        if gpus:
            resources[settings.gpu_resource] = str(gpus)
        return CustomTrainerContainer(
            image=settings.gpu_image if gpus else settings.cpu_image,
            num_nodes=self.size.nodes,
            resources_per_node=resources,
            env=self.environment,
        )

    def options(self) -> list[Any]:
        """Name, command, deadline, and the patch of the runtime's pods."""
        # Trainer's torch plugin sets the number of nodes, the node's rank and the first node's address in PET_*; on
        # CPUs it sets the number of processes to that of the cores.
        processes = f"--nproc-per-node={self.size.processes_per_node}"
        return [
            Name(name=self.name),
            Labels(labels={"app.kubernetes.io/part-of": "recap"}),
            TrainerCommand(command=["torchrun", processes, "--module", self.module, *self.arguments]),
            ActiveDeadlineSeconds(seconds=self.settings.deadline_minutes * 60),
            RuntimePatch(training_runtime_spec=_patch(self.settings, on_gpus=self.size.gpus_per_node > 0)),
        ]


def _patch(settings: TrainJobSettings, on_gpus: bool) -> TrainingRuntimeSpecPatch:
    volumes = [
        {"name": "shared", "persistentVolumeClaim": {"claimName": settings.claim}},
        {"name": "scratch", "emptyDir": {"sizeLimit": settings.scratch}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
    ]
    mounts = [
        {"name": "shared", "mountPath": settings.shared},
        {"name": "scratch", "mountPath": "/tmp"},
        {"name": "shared-memory", "mountPath": "/dev/shm"},
    ]
    if settings.secrets:
        # The SDK's environment has plain values only, and a patch cannot set it: secrets are mounted as files.
        sources = [{"secret": {"name": name, "optional": True}} for name in settings.secrets]
        volumes.append({"name": "secrets", "projected": {"sources": sources}})
        mounts.append({"name": "secrets", "mountPath": SECRETS_FOLDER, "readOnly": True})  # type: ignore[dict-item]
    user = settings.user
    pod = PodSpecPatch(
        service_account_name=settings.service_account,
        security_context={"runAsUser": user, "runAsGroup": user, "fsGroup": user, "runAsNonRoot": True},
        volumes=volumes,
        containers=[ContainerPatch(name="node", volume_mounts=mounts)],
    )
    if on_gpus:
        pod.node_selector = settings.node_selector or None
        if settings.toleration is not None:
            pod.tolerations = [{"key": settings.toleration, "operator": "Exists", "effect": "NoSchedule"}]
    # A sidecar's proxy breaks connections to the pods' addresses.
    template = PodTemplatePatch(metadata={"labels": {"sidecar.istio.io/inject": "false"}}, spec=pod)
    job = JobTemplatePatch(spec=JobSpecPatch(template=template))
    nodes = ReplicatedJobPatch(name="node", template=job)
    return TrainingRuntimeSpecPatch(
        template=JobSetTemplatePatch(spec=JobSetSpecPatch(replicated_jobs=[nodes]))
    )


class KubernetesJob:
    """A TrainJob as a `components.train.kubernetes.wait.Job`.

    Raises ConnectionError if no cluster is configured.
    """

    def __init__(self, request: JobRequest) -> None:
        # It warns, on several lines, of a version that it may not read, without effect.
        logging.getLogger("kubeflow").setLevel(logging.ERROR)
        # It warns at each attempt of a request without a response, which the wait logs once.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self.name = request.name
        self._request = request
        self._passed_on: dict[str, int] = {}
        try:
            self._client = TrainerClient()
        except ConfigException as error:
            raise ConnectionError(
                f"training job {self.name}: no Kubernetes cluster is configured ({_one_line(error)}); run it "
                "on a cluster, or set KUBECONFIG"
            ) from None

    def poll(self) -> JobStatus:
        """The job's status, from its conditions.

        Not by the SDK's own call, which drops the conditions' messages and fails if it cannot read the runtime.
        """
        backend = self._client.backend
        try:
            job: dict[str, Any] = backend.custom_api.get_namespaced_custom_object(
                GROUP, VERSION, backend.namespace, PLURAL, self.name, _request_timeout=_REQUEST_TIMEOUTS_S
            )
        except ApiException as error:
            if error.status == 404:
                return JobStatus("absent")
            raise self._refusal("cannot be read", error) from None
        except HTTPError as error:
            raise self._refusal("cannot be read", error) from None
        if job["metadata"].get("deletionTimestamp"):
            return JobStatus("deleting")
        for condition in job.get("status", {}).get("conditions", []):
            why = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
            if condition["status"] == "True" and condition["type"] == constants.TRAINJOB_COMPLETE:
                return JobStatus("complete", why)
            if condition["status"] == "True" and condition["type"] == constants.TRAINJOB_FAILED:
                return JobStatus("failed", why)
        return JobStatus("active")

    def create(self) -> None:
        """Create the TrainJob unless one of its name exists."""
        request = self._request
        try:
            self._client.train(
                runtime=request.settings.runtime, trainer=request.trainer(), options=request.options()
            )
        except (RuntimeError, TimeoutError, HTTPError, ApiException) as error:
            cause = error.__cause__ or error
            if not (isinstance(cause, ApiException) and cause.status == 409):
                raise self._refusal("cannot be created", error) from None

    def delete(self) -> None:
        """Delete the TrainJob if it exists."""
        try:
            self._client.delete_job(self.name)
        except (RuntimeError, TimeoutError) as error:
            cause = error.__cause__
            if not (isinstance(cause, ApiException) and cause.status == 404):
                raise self._refusal("cannot be deleted", error) from None

    def log(self) -> Iterator[str]:
        """New lines of the first node's log; none while its pod is pending."""
        try:
            steps = self._client.get_job(self.name).steps
            pods = [step.pod_name for step in steps if step.name == _RANK_0]
            if not pods:
                return
            # The SDK begins with the first line each time.
            for number, line in enumerate(self._client.get_job_logs(self.name, follow=True)):
                if number >= self._passed_on.get(pods[0], 0):
                    self._passed_on[pods[0]] = number + 1
                    yield line
        except (RuntimeError, TimeoutError, HTTPError) as error:
            raise self._refusal("has no readable log", error) from None

    def last_event(self) -> str:
        """Reason and message of the newest event on the job or its pods."""
        try:
            events = self._client.get_job_events(self.name)
        except (RuntimeError, TimeoutError, HTTPError, ApiException) as error:
            raise self._refusal("has no readable events", error) from None
        return f"{events[-1].reason}: {_one_line(events[-1].message)}" if events else ""

    def _refusal(self, what: str, error: Exception) -> OSError | ValueError:
        """A one-line exception, whose type says whether the error may be transient."""
        cause = error.__cause__ or error
        prefix = f"training job {self.name} {what}"
        if not isinstance(cause, ApiException):
            return ConnectionError(f"{prefix}: {_one_line(cause)}")
        reason = _message(cause)
        if not cause.status or cause.status == 429 or cause.status >= 500:
            return ConnectionError(f"{prefix}: {cause.status or 'no status'}: {reason}")
        if cause.status in (401, 403):
            return PermissionError(
                f"{prefix}: {cause.status}: {reason}; the step's service account needs the role in docs/cluster.md"
            )
        if cause.status == 404:
            return FileNotFoundError(
                f"{prefix}: the cluster has no runtime {self._request.settings.runtime!r}, or no Kubeflow Trainer 2; "
                "install it, or name another by train_job.runtime in the cluster's file"
            )
        return ValueError(f"{prefix}: {cause.status}: {reason}")


def _message(error: ApiException) -> str:
    """The API's message: that of its Status, if the body is one."""
    try:
        return _one_line(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return _one_line(error.reason)


def _one_line(error: object) -> str:
    return in_one_line(error)[:300]
