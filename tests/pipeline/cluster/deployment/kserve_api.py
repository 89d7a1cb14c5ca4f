"""A Kubernetes API of InferenceServices over a real socket, and what KServe's controller does to them.

It refuses what the CRD's schema, the webhook's rules for canaries and Kubernetes' schema of a pod do not allow.
"""

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import yaml

from pipeline.cluster.deployment.inference_service import served_model

SCHEMA = yaml.safe_load(Path(__file__).with_name("inferenceservice.schema.yaml").read_text())
NAMESPACE = "ml"
_GROUP = "serving.kserve.io"
_SERVICES = f"/apis/{_GROUP}/v1beta1/namespaces/{NAMESPACE}/inferenceservices"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch"}
# Of a predictor, and of no pod.
_OF_PREDICTOR = ("name", "minReplicas", "maxReplicas", "labels", "annotations")


class KServeApi(ThreadingHTTPServer):
    """InferenceServices by name.

    Attributes:
        broken: versions whose pods never become ready.
        installed: whether the cluster has KServe.
        history: the versions and percentages of each change, the stable one first.
        denied: verbs that are answered by 403.
        conflicts: how many of the next changes are answered by 409.
        fails_after_change: how many requests to read are answered by 503 after each change.
        rights: verb, group and resource of every request, as a role names them.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.services: dict[str, dict[str, Any]] = {}
        self.broken: set[str] = set()
        self.installed = True
        self.fails_after_change = 0
        self.conflicts = 0
        self.denied: set[str] = set()
        self.history: list[list[tuple[str, int]]] = []
        self.rights: set[tuple[str, str, str]] = set()
        self._looks, self._failures = 0, 0
        self._lock = threading.Lock()

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here."""
        url = f"http://127.0.0.1:{self.server_port}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [
                {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": NAMESPACE}}
            ],
            "clusters": [{"name": "here", "cluster": {"server": url}}],
            "users": [{"name": "me", "user": {}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any] | str]:
        """Status and content of a request."""
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            verb = body["spec"]["resourceAttributes"]["verb"]
            return 201, body | {"status": {"allowed": verb not in self.denied}}
        with self._lock:
            if not path.startswith((_DEPLOYMENTS, _SERVICES)):
                return _status(404, f"{path} not found")
            group, resource = (_GROUP, "inferenceservices")
            if path.startswith(_DEPLOYMENTS):
                group, resource = ("apps", "deployments")
            self.rights.add((_VERBS[method], group, resource))
            if self._failures and method == "GET":
                self._failures -= 1
                return _status(503, "etcd is not available")
            if _VERBS[method] in self.denied:
                return _status(403, f"may not {_VERBS[method]} {resource}")
            if resource == "inferenceservices" and not self.installed:
                return 404, "404 page not found"
            name = path.rpartition("/")[2]
            if resource == "deployments":
                return self._deployment(name)
            if method == "POST":
                return self._write(body, body["metadata"]["name"], {})
            if name not in self.services:
                return _status(404, f'inferenceservices.serving.kserve.io "{name}" not found')
            service = self.services[name]
            if method == "GET":
                self._reconcile(service)
                return 200, service
            if (
                self.conflicts
                or body["metadata"]["resourceVersion"] != service["metadata"]["resourceVersion"]
            ):
                self.conflicts = max(0, self.conflicts - 1)
                return _status(409, "the object has been modified")
            return self._write(_merge(service, body), name, service)

    def _write(self, service: dict[str, Any], name: str, before: dict[str, Any]) -> tuple[int, Any]:
        sent = {key: value for key, value in service.items() if key != "status"}
        try:
            jsonschema.validate(sent, SCHEMA)
            spec = sent["spec"]
            predictors = [spec["predictor"], *(one["predictor"] for one in spec.get("canary", []))]
            for predictor in predictors:
                pod = {key: value for key, value in predictor.items() if key not in _OF_PREDICTOR}
                content = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod}
                kubernetes_validate.validate(content, kubernetes_validate.latest_version(), strict=True)
            if sum(one["trafficPercent"] for one in spec.get("canary", [])) > 100:
                return _status(422, "spec.canary: more than 100 percent")
        except jsonschema.ValidationError as error:
            return _status(422, f"InferenceService is invalid: {error.json_path}: {error.message}")
        except kubernetes_validate.ValidationError as error:
            return _status(422, f"Pod is invalid: {error.message}")
        generation = before.get("metadata", {}).get("generation", 0) + 1
        service["metadata"] |= {"generation": generation, "resourceVersion": f"{generation}.0"}
        self.services[name] = service
        self._looks, self._failures = 0, self.fails_after_change
        canaries = [(served_model(one["predictor"]), one["trafficPercent"]) for one in spec.get("canary", [])]
        stable = served_model(spec["predictor"])
        self.history.append([(stable, 100 - sum(percent for _, percent in canaries)), *canaries])
        return 200, service

    def _reconcile(self, service: dict[str, Any]) -> None:
        """Write the status, which changes the object's version; pods are ready at the second look."""
        self._looks += 1
        ready = self._looks > 1
        service["metadata"]["resourceVersion"] = f"{service['metadata']['generation']}.{self._looks}"
        canaries = [
            {
                "name": one["predictor"]["name"],
                "ready": ready and served_model(one["predictor"]) not in self.broken,
                "trafficPercent": one["trafficPercent"],
                "modelStatus": {"lastFailureInfo": {"message": "its container exited with 1"}},
            }
            for one in service["spec"].get("canary", [])
        ]
        # As of a Deployment that has not noticed the change: true from the start.
        service["status"] = {"conditions": [{"type": "Ready", "status": "True"}], "canaryStatuses": canaries}

    def _deployment(self, name: str) -> tuple[int, dict[str, Any]]:
        service = self.services[name.removesuffix("-predictor")]
        predictor = service["spec"]["predictor"]
        wanted = predictor["minReplicas"]
        is_ready = self._looks > 2 and served_model(predictor) not in self.broken
        pod = {key: value for key, value in predictor.items() if key not in _OF_PREDICTOR}
        labels = {"app": name}
        return 200, {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "generation": 1},
            "spec": {
                "replicas": wanted,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": copy.deepcopy(pod)},
            },
            "status": {
                "observedGeneration": 1,
                "replicas": wanted if is_ready else wanted + 1,
                "updatedReplicas": wanted if is_ready else 1,
                "availableReplicas": wanted,
            },
        }


@contextmanager
def kserve_api() -> Iterator[KServeApi]:
    """A server on a free port, until the block ends."""
    server = KServeApi()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: KServeApi

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        if self.command == "PATCH":
            assert self.headers["Content-Type"] == "application/merge-patch+json"
        status, content = self.server.answer(self.command, urlsplit(self.path).path, body)
        text = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = _handle  # noqa: N815


def _merge(value: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), change)
    return merged


def _status(code: int, message: str) -> tuple[int, dict[str, Any]]:
    return code, {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "message": message,
    }
