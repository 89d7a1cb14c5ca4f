"""The pod that a compiled executor leads to, put together as Kubeflow's driver does for the Kubernetes platform."""

from typing import Any


def pod_of(name: str, container: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """A Pod manifest.

    Args:
        container: the executor's container in the pipeline's specification.
        told: the executor's part of the platform's specification (KubernetesExecutorConfig).
    """
    asked = container.get("resources", {})
    limits = _amounts(asked, "Limit") | _accelerator(asked)
    mounts, volumes = _volumes(told)
    security = told.get("securityContext", {})
    spec = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": int(told["activeDeadlineSeconds"]),
        "nodeSelector": dict(told.get("nodeSelector", {}).get("labels", {})),
        "tolerations": told.get("tolerations", []),
        "volumes": volumes,
        "containers": [
            {
                "name": "main",
                "image": container["image"],
                "command": container.get("command", []),
                "args": container.get("args", []),
                "imagePullPolicy": told["imagePullPolicy"],
                "env": list(_environment(container, told)),
                "resources": {"requests": _amounts(asked, "Request"), "limits": limits},
                "volumeMounts": mounts,
                "securityContext": {key: _plain(value) for key, value in security.items()},
            }
        ],
    }
    metadata = {"name": name, "labels": told.get("podMetadata", {}).get("labels", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, str) else value


def _amounts(asked: dict[str, Any], kind: str) -> dict[str, str]:
    found = {"cpu": asked.get(f"resourceCpu{kind}"), "memory": asked.get(f"resourceMemory{kind}")}
    return {name: amount for name, amount in found.items() if amount}


def _accelerator(asked: dict[str, Any]) -> dict[str, str]:
    accelerator = asked.get("accelerator")
    if not accelerator:
        return {}
    # Without a type the driver asks for nothing; a key that is not there is just as wrong here.
    return {accelerator["resourceType"]: str(accelerator["resourceCount"])}


def _volumes(told: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    mounts, volumes = [], []
    for one in told.get("emptyDirMounts", []):
        mounts.append({"name": one["volumeName"], "mountPath": one["mountPath"]})
        kind = {key: one[key] for key in ("medium", "sizeLimit") if key in one}
        volumes.append({"name": one["volumeName"], "emptyDir": kind})
    for one in told.get("pvcMount", []):
        claim = one["pvcNameParameter"]["runtimeValue"]["constant"]
        mounts.append({"name": claim, "mountPath": one["mountPath"]})
        volumes.append({"name": claim, "persistentVolumeClaim": {"claimName": claim}})
    return mounts, volumes


def _environment(container: dict[str, Any], told: dict[str, Any]) -> Any:
    yield from container.get("env", [])
    for one in told.get("fieldPathAsEnv", []):
        yield {"name": one["name"], "valueFrom": {"fieldRef": {"fieldPath": one["fieldPath"]}}}
    for secret in told.get("secretAsEnv", []):
        for key in secret["keyToEnv"]:
            reference = {
                "name": secret["secretName"],
                "key": key["secretKey"],
                "optional": secret.get("optional", False),
            }
            yield {"name": key["envVar"], "valueFrom": {"secretKeyRef": reference}}
