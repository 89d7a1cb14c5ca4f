"""KServe's InferenceService for a version of the registry, in Standard mode (KServe 0.20 or newer).

The predictor is one container of the registry's image that runs `components.serve` on one version, so that a revision
never changes what it serves. A canary is a second predictor with a fraction of the traffic (``spec.canary``).
"""

import math
from typing import Any

from pipeline.cluster.settings import ClusterSettings, ServingSettings

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
_PORT = 8080
_GRACE_S = 60  # the server drains for at most 20 s, and a request takes at most 30 s


def inference_service(settings: ClusterSettings, model: str) -> dict[str, Any]:
    """The InferenceService that serves one version with all of the traffic.

    Args:
        settings: with ``serving``.
        model: ``models:/NAME/VERSION``.
    """
    serving = serving_settings(settings)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "InferenceService",
        "metadata": {
            "name": serving.name,
            "labels": {"app.kubernetes.io/part-of": "recap"},
            "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
        },
        "spec": {
            "predictor": {
                "minReplicas": serving.replicas,
                "maxReplicas": serving.replicas,
                **_pod(settings, serving, model),
            }
        },
    }


def canary(settings: ClusterSettings, model: str, percent: int) -> dict[str, Any]:
    """An entry of ``spec.canary``: another version with a percentage of the traffic, and as many of the replicas."""
    serving = serving_settings(settings)
    replicas = max(1, math.ceil(serving.replicas * percent / 100))
    name = f"v{model.rpartition('/')[2]}"
    return {
        "trafficPercent": percent,
        "predictor": {"name": name, "minReplicas": replicas, **_pod(settings, serving, model)},
    }


def served_model(pod: dict[str, Any]) -> str:
    """The version that a predictor, or the pod of a Deployment, serves; an empty text if it is none of ours."""
    for container in pod.get("containers", []):
        arguments = container.get("args", [])
        if "--model" in arguments[:-1]:
            return str(arguments[arguments.index("--model") + 1])
    return ""


def serving_settings(settings: ClusterSettings) -> ServingSettings:
    """The section ``serving`` of a cluster file. Raises ValueError if there is none."""
    if settings.serving is None:
        raise ValueError("--cluster: the file has no section serving; see docs/cluster.md")
    return settings.serving


def _pod(settings: ClusterSettings, serving: ServingSettings, model: str) -> dict[str, Any]:
    image = settings.images.name("registry")
    arguments = ["-m", "components.serve", "--model", model, "--port", str(_PORT)]
    # MLflow's server proxies artifacts; only the prediction log is written to the object store itself.
    secrets = [settings.secrets.mlflow]
    if serving.prediction_log is not None:
        arguments += ["--prediction-log", serving.prediction_log]
        secrets.append(settings.secrets.object_store)
    resources = {"cpu": serving.cpu, "memory": serving.memory}
    container = {
        "name": "kserve-container",
        "image": image,
        "imagePullPolicy": "IfNotPresent" if "@" in image else "Always",
        "command": ["python"],
        "args": arguments,
        "env": [{"name": "MLFLOW_TRACKING_URI", "value": serving.tracking_uri}],
        "envFrom": [{"secretRef": {"name": name, "optional": True}} for name in secrets],
        "ports": [{"containerPort": _PORT, "protocol": "TCP"}],
        # Another pod's growth must not take the memory of a model: request and limit are equal.
        "resources": {"requests": resources, "limits": {"memory": serving.memory}},
        "startupProbe": _probe("/ready", failureThreshold=60, periodSeconds=5),
        "readinessProbe": _probe("/ready", failureThreshold=2, periodSeconds=2),
        "livenessProbe": _probe("/health", failureThreshold=6, periodSeconds=10),
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    user = settings.run_as_user
    pod = {
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": serving.scratch}}],
        "securityContext": {"runAsUser": user, "runAsGroup": user, "runAsNonRoot": True},
        "terminationGracePeriodSeconds": _GRACE_S,
    }
    if serving.service_account is not None:
        pod["serviceAccountName"] = serving.service_account
    return pod


def _probe(path: str, **limits: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": _PORT}, "timeoutSeconds": 5, **limits}
