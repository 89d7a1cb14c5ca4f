"""One InferenceService on Kubernetes: read, create, change, and whether its pods are ready."""

import json
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from pipeline.cluster.deployment.inference_service import GROUP, PLURAL, VERSION, served_model
from pipeline.cluster.kubeconfig import load_kubeconfig
from recap_model.config.reading.errors import in_one_line

_TIMEOUT_S = 15.0
_CONFLICTS = 10  # KServe writes the status meanwhile


@dataclass(frozen=True)
class ServedState:
    """Which versions an InferenceService serves.

    Attributes:
        stable: version of the predictor.
        canaries: version and percentage of the traffic of each canary.
    """

    stable: str
    canaries: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, service: dict[str, Any]) -> "ServedState":
        """That of an InferenceService."""
        spec = service["spec"]
        canaries = [
            (served_model(one["predictor"]), one["trafficPercent"]) for one in spec.get("canary") or []
        ]
        return cls(served_model(spec["predictor"]), tuple(canaries))


class InferenceServiceClient:
    """An InferenceService by its name.

    Raises, in every method: ConnectionError if the API does not answer, PermissionError, or ValueError for a refusal.
    """

    def __init__(self, name: str, namespace: str) -> None:
        if not load_kubeconfig():
            raise ConnectionError("no Kubernetes cluster is configured; set KUBECONFIG")
        self.name, self.namespace = name, namespace
        self._objects, self._apps = client.CustomObjectsApi(), client.AppsV1Api()

    def read(self) -> dict[str, Any] | None:
        """The InferenceService; None if it does not exist."""
        try:
            service: dict[str, Any] = self._objects.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, self.name, _request_timeout=_TIMEOUT_S
            )
        except ApiException as error:
            if error.status == 404 and _is_status(error):
                return None
            raise self._refusal("cannot be read", error) from None
        except HTTPError as error:
            raise self._refusal("cannot be read", error) from None
        return service

    def create(self, service: dict[str, Any]) -> None:
        """Create it."""
        try:
            self._objects.create_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, service, _request_timeout=_TIMEOUT_S
            )
        except (ApiException, HTTPError) as error:
            raise self._refusal("cannot be created", error) from None

    def change(self, expected: ServedState, spec: dict[str, Any]) -> ServedState:
        """Merge ``spec`` into its spec if it still serves what is expected; returns what it serves then.

        Raises ValueError if somebody else has changed it.
        """
        for attempt in range(_CONFLICTS):
            current = self.read()
            if current is None or ServedState.of(current) != expected:
                raise ValueError(
                    f"InferenceService {self.name}: was changed by somebody else meanwhile; look at it, and deploy "
                    "again"
                )
            body = {"metadata": {"resourceVersion": current["metadata"]["resourceVersion"]}, "spec": spec}
            try:
                changed: dict[str, Any] = self._objects.patch_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, PLURAL, self.name, body, _request_timeout=_TIMEOUT_S
                )
                return ServedState.of(changed)
            except (ApiException, HTTPError) as error:
                if not isinstance(error, ApiException) or error.status != 409 or attempt == _CONFLICTS - 1:
                    raise self._refusal("cannot be changed", error) from None
        raise AssertionError

    def canary_problem(self, model: str, percent: int) -> str:
        """Why a canary is not ready with its percentage of the traffic; empty if it is."""
        service = self.read() or {}
        name = f"v{model.rpartition('/')[2]}"
        statuses = (service.get("status") or {}).get("canaryStatuses") or []
        status = next((one for one in statuses if one["name"] == name), None)
        if status is None:
            return f"canary {name} has no status"
        if not status["ready"]:
            return f"canary {name} is not ready{_failure(status)}"
        if status["trafficPercent"] != percent:
            return f"canary {name} has {status['trafficPercent']} % of the traffic, not {percent} %"
        return ""

    def stable_problem(self, model: str) -> str:
        """Why not every pod of the predictor serves a version, and is ready; empty if each does."""
        service = self.read() or {}
        conditions = (service.get("status") or {}).get("conditions") or []
        ready = next((one for one in conditions if one["type"] == "Ready"), None)
        if ready is None or ready["status"] != "True":
            return f"is not ready{': ' + ready['message'] if ready and ready.get('message') else ''}"
        # Its conditions may be of the pods before the change; the Deployment tells of which pods it speaks.
        try:
            deployment = self._apps.read_namespaced_deployment(
                f"{self.name}-predictor", self.namespace, _request_timeout=_TIMEOUT_S
            )
        except ApiException as error:
            if error.status == 404:
                return "has no Deployment"
            raise self._refusal("has no readable Deployment", error) from None
        except HTTPError as error:
            raise self._refusal("has no readable Deployment", error) from None
        pods = client.ApiClient().sanitize_for_serialization(deployment.spec.template.spec)
        status, wanted = deployment.status, deployment.spec.replicas
        if served_model(pods) != model or (status.observed_generation or 0) < deployment.metadata.generation:
            return f"its Deployment does not serve {model} yet"
        updated, available = status.updated_replicas or 0, status.available_replicas or 0
        if updated < wanted or available < updated or (status.replicas or 0) > updated:
            return f"{available} of {wanted} pods serve {model}"
        return ""

    def _refusal(self, what: str, error: Exception) -> OSError | ValueError:
        prefix = f"InferenceService {self.name} in namespace {self.namespace} {what}"
        if not isinstance(error, ApiException):
            return ConnectionError(f"{prefix}: {in_one_line(error)[:300]}")
        reason = _message(error)
        if not error.status or error.status == 429 or error.status >= 500:
            return ConnectionError(f"{prefix}: {error.status or 'no status'}: {reason}")
        if error.status in (401, 403):
            return PermissionError(f"{prefix}: {error.status}: {reason}; the role is in docs/cluster.md")
        if error.status == 404:
            return ValueError(f"{prefix}: the cluster has no {PLURAL}.{GROUP}; install KServe 0.20 or newer")
        return ValueError(f"{prefix}: {error.status}: {reason}")


def _failure(status: dict[str, Any]) -> str:
    message = ((status.get("modelStatus") or {}).get("lastFailureInfo") or {}).get("message")
    return f": {in_one_line(message)[:200]}" if message else ""


def _is_status(error: ApiException) -> bool:
    """Whether a 404 is of the object: for an unknown kind the body is plain text."""
    try:
        return bool(json.loads(error.body)["kind"] == "Status")
    except (ValueError, KeyError, TypeError):
        return False


def _message(error: ApiException) -> str:
    try:
        return in_one_line(json.loads(error.body)["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return in_one_line(error.reason)[:300]
