"""Spark on Kubernetes in client mode: the step's pod is the driver, and its executors are pods that end with it.

`pipeline.cluster.pod_resources` writes ``RECAP_SPARK`` from the cluster file, and the pod's address and name; a step
whose config has the engine ``spark`` reads them.
"""

import os
from pathlib import Path

import yaml
from pydantic import NonNegativeInt, PositiveInt

from components.common.runtime.environment_settings import read_settings
from recap_model.config import StrictModel

VARIABLE = "RECAP_SPARK"
POD_IP, POD_NAME = "RECAP_POD_IP", "RECAP_POD_NAME"
CLUSTER_MASTER = "k8s://https://kubernetes.default.svc"
"""The API server of the cluster that a pod runs in, as a Spark master."""

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Fixed, so that a NetworkPolicy can name them.
_DRIVER_PORT, _BLOCK_MANAGER_PORT = 7078, 7079
# The kernels run in Python beside the JVM, which only moves rows.
_JVM_FRACTION = 0.4
_LEAST_JVM_MIB = 512
_LEAST_FAILURES = 3
_SCRATCH = "spark.kubernetes.executor.volumes.emptyDir.spark-local-dir-1"


class ExecutorSettings(StrictModel):
    """The executors of a step.

    Attributes:
        memory_mib: of each pod, the JVM and its Python workers together.
        scratch: size of each pod's disk for spilled rows, as a Kubernetes quantity.
        secrets: names of Kubernetes secrets whose keys become environment variables; one may be missing.
        service_account: of the executors' pods; the namespace's default if None.
    """

    image: str
    executors: PositiveInt
    cores: PositiveInt
    memory_mib: PositiveInt
    scratch: str
    node_selector: dict[str, str] = {}
    toleration: str | None = None
    secrets: list[str] = []
    user: NonNegativeInt
    service_account: str | None = None


def executor_settings() -> ExecutorSettings | None:
    """The settings of this pod's executors, or None outside a cluster. Raises ValueError if they cannot be read."""
    return read_settings(VARIABLE, ExecutorSettings)


def kubernetes_conf(settings: ExecutorSettings, folder: Path) -> dict[str, str]:
    """Spark's configuration of a driver in this pod, and of its executors.

    Args:
        folder: for the executors' pod template.

    Raises:
        ValueError: this process is not in a pod that the pipeline configured.
    """
    address, name = os.environ.get(POD_IP, ""), os.environ.get(POD_NAME, "")
    if not address or not name:
        raise ValueError(
            f"data.engine.master: {POD_IP} and {POD_NAME} are not set, so executors could not reach this driver; "
            "run the step by the compiled pipeline, or use another master"
        )
    namespace = _SERVICE_ACCOUNT / "namespace"
    template = folder / "executor.yaml"
    template.write_text(yaml.safe_dump(pod_template(settings)))
    jvm_mib = max(_LEAST_JVM_MIB, int(settings.memory_mib * _JVM_FRACTION))
    return {
        "spark.submit.deployMode": "client",
        "spark.driver.host": address,
        "spark.driver.bindAddress": "0.0.0.0",
        "spark.driver.port": str(_DRIVER_PORT),
        "spark.driver.blockManager.port": str(_BLOCK_MANAGER_PORT),
        # Executors belong to this pod, and Kubernetes deletes them with it.
        "spark.kubernetes.driver.pod.name": name,
        "spark.kubernetes.namespace": namespace.read_text().strip() if namespace.is_file() else "default",
        "spark.kubernetes.container.image": settings.image,
        "spark.kubernetes.container.image.pullPolicy": "IfNotPresent" if "@" in settings.image else "Always",
        "spark.kubernetes.executor.podTemplateFile": str(template),
        "spark.kubernetes.executor.podTemplateContainerName": "executor",
        "spark.executor.instances": str(settings.executors),
        # Without an end executors that cannot start (an image that cannot be pulled) are requested for ever.
        "spark.executor.maxNumFailures": str(max(_LEAST_FAILURES, 2 * settings.executors)),
        "spark.executor.cores": str(settings.cores),
        "spark.executor.memory": f"{jvm_mib}m",
        "spark.executor.memoryOverhead": f"{settings.memory_mib - jvm_mib}m",
        f"{_SCRATCH}.mount.path": "/var/data/spark",
        f"{_SCRATCH}.options.sizeLimit": settings.scratch,
    }


def pod_template(settings: ExecutorSettings) -> dict[str, object]:
    """What Spark's configuration cannot say of an executor's pod.

    Secrets are referenced here: as configuration their values would stand in the pod's specification.
    """
    spec: dict[str, object] = {
        "securityContext": {
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "fsGroup": settings.user,
            "runAsNonRoot": settings.user != 0,
        },
        "nodeSelector": settings.node_selector,
        "containers": [
            {
                "name": "executor",
                "command": ["python", "-m", "components.common.engine.spark_executor"],
                "envFrom": [{"secretRef": {"name": name, "optional": True}} for name in settings.secrets],
            }
        ],
    }
    if settings.toleration is not None:
        spec["tolerations"] = [{"key": settings.toleration, "operator": "Exists", "effect": "NoSchedule"}]
    if settings.service_account is not None:
        spec["serviceAccountName"] = settings.service_account
    # As Kubeflow does for its steps: a mesh's proxy would keep the pod alive, and stand between driver and executor.
    metadata = {"annotations": {"sidecar.istio.io/inject": "false"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
