"""A Kubernetes API of TrainJobs over a real socket, which refuses what the CRD's schema does not allow.

It can also do what Kubeflow Trainer does with a job, in processes of this machine instead of pods: one torchrun
for each node, told of the others by the variables that Trainer's torch plugin sets.
"""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import yaml

SCHEMA = yaml.safe_load(Path(__file__).with_name("trainjob.schema.yaml").read_text())
NAMESPACE = "ml"
_TRAINER = "/apis/trainer.kubeflow.org/v1alpha1"
_JOBS = f"{_TRAINER}/namespaces/{NAMESPACE}/trainjobs"
_RUNTIME = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "torch-distributed", "labels": {"trainer.kubeflow.org/framework": "torch"}},
    "spec": {
        "mlPolicy": {"numNodes": 1, "torch": {}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {
                                "labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
                            },
                            "spec": {
                                "template": {"spec": {"containers": [{"name": "node", "image": "torch"}]}}
                            },
                        },
                    }
                ]
            }
        },
    },
}


class KubernetesApi(ThreadingHTTPServer):
    """Jobs, their pods and logs in one namespace, and what else of it a job needs.

    Attributes:
        secrets: names of those that are there.
        claims: access modes and phase of each claim of a volume.
        allowed: users that may do whatever is asked of an access review, but for ``denied_verbs``.
        asked: method and path of every request.
        lacking: paths that are answered by 404.
        refuse: a status and words that every request for jobs is answered by.
        silent: connections are closed without an answer.
        leaving_looks: how often a deleted job is still seen.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.created: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.logs: dict[str, Path] = {}
        self.events: list[tuple[str, str]] = []
        self.lacking: set[str] = set()
        self.refuse: tuple[int, str] | None = None
        self.silent = False
        self.leaving_looks = 0
        self.secrets: set[str] = set()
        self.claims: dict[str, tuple[list[str], str]] = {}
        self.allowed: set[str] = set()
        self.denied_verbs: set[str] = set()
        self.runs_jobs: Path | None = None
        self._nodes: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._watchers: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [
                {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": NAMESPACE}}
            ],
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def asked_to(self, method: str) -> int:
        """How often jobs were asked for by a method."""
        return sum(one == method and path.startswith(_JOBS) for one, path in self.asked)

    def add(self, name: str) -> dict[str, Any]:
        """A job that someone has created."""
        job = {
            "apiVersion": "trainer.kubeflow.org/v1alpha1",
            "kind": "TrainJob",
            "metadata": {"name": name},
            "spec": {"runtimeRef": {"name": "torch-distributed"}},
        }
        return self.accept(job)

    def accept(self, job: dict[str, Any]) -> dict[str, Any]:
        job["metadata"] |= {"namespace": NAMESPACE, "creationTimestamp": _now()}
        self.jobs[job["metadata"]["name"]] = job
        return job

    def end(self, name: str, kind: str, reason: str = "JobsCompleted", message: str = "jobset done") -> None:
        """Say by a condition that a job is Complete or Failed, if it is still there."""
        condition = {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": _now(),
        }
        if name in self.jobs:
            self.jobs[name]["status"] = {"conditions": [condition]}

    def run(self, job: dict[str, Any], folder: Path) -> None:
        """Run a job's nodes as processes, their logs in a folder; a condition tells how they ended."""
        name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        nodes = []
        for rank in range(trainer["numNodes"]):
            pod = {
                "PET_NNODES": str(trainer["numNodes"]),
                "PET_NPROC_PER_NODE": "auto",
                "PET_NODE_RANK": str(rank),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
            }
            given = {entry["name"]: entry["value"] for entry in trainer["env"]}
            path = folder / f"{name}-node-0-{rank}-{len(self.created)}"
            if rank == 0:
                self.logs[path.name] = path
            with path.open("wb") as stream:
                nodes.append(
                    subprocess.Popen(
                        trainer["command"],
                        env=os.environ | pod | given,
                        stdout=stream,
                        stderr=subprocess.STDOUT,
                    )
                )
        self._nodes[name] = nodes
        watcher = threading.Thread(target=self._watch, args=(job, nodes), daemon=True)
        watcher.start()
        self._watchers.append(watcher)

    def _watch(self, job: dict[str, Any], nodes: list[subprocess.Popen[bytes]]) -> None:
        statuses, name = [node.wait() for node in nodes], job["metadata"]["name"]
        if self.jobs.get(name) is not job:
            return
        if any(statuses):
            self.end(name, "Failed", "JobsFailed", f"nodes ended with {statuses}")
        else:
            self.end(name, "Complete")

    def delete(self, name: str) -> None:
        for node in self._nodes.pop(name, ()):
            if node.poll() is None:
                node.send_signal(signal.SIGTERM)
        if self.leaving_looks:
            self.jobs[name]["metadata"]["deletionTimestamp"] = _now()
        else:
            del self.jobs[name]

    def kill_node(self, name: str, rank: int) -> None:
        self._nodes[name][rank].kill()

    def wait_for_nodes(self) -> None:
        """Until no process of any job is left."""
        for watcher in self._watchers:
            watcher.join()


@contextmanager
def serving() -> Iterator[KubernetesApi]:
    """A server on a free port, until the block ends."""
    server = KubernetesApi()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        for name in list(server.jobs):
            server.leaving_looks = 0
            server.delete(name)
        server.wait_for_nodes()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: KubernetesApi

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, method: str) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append((method, path))
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        if self.server.silent:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if path.endswith("/log"):
            self._send_log(path.split("/")[-2])
            return
        status, content = self._content(method, path, body)
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _content(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        server = self.server
        if path in server.lacking:
            return _status(404, "not found")
        if path == f"{_TRAINER}/clustertrainingruntimes/torch-distributed":
            return 200, _RUNTIME
        if path == f"/api/v1/namespaces/{NAMESPACE}/pods":
            wanted = re.search(
                r"jobset-name=([^,]+)", parse_qs(urlsplit(self.path).query)["labelSelector"][0]
            )
            return 200, {
                "apiVersion": "v1",
                "kind": "PodList",
                "items": self._pods(wanted[1] if wanted else ""),
            }
        if path == f"/api/v1/namespaces/{NAMESPACE}/events":
            return 200, {"apiVersion": "v1", "kind": "EventList", "items": self._events()}
        if not path.startswith(_JOBS):
            return self._other(path, body)
        if server.refuse is not None:
            return _status(*server.refuse)
        return self._job(method, path.removeprefix(_JOBS).strip("/"), body)

    def _other(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Secrets, claims and access reviews."""
        server, (folder, _, name) = self.server, path.rpartition("/")
        if path == f"/api/v1/namespaces/{NAMESPACE}/secrets":
            items = [{"metadata": {"name": secret}} for secret in server.secrets]
            return 200, {"apiVersion": "v1", "kind": "SecretList", "items": items}
        if folder == f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims" and name in server.claims:
            modes, phase = server.claims[name]
            claim = {"spec": {"accessModes": modes}, "status": {"phase": phase}}
            return 200, {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name},
            } | claim
        if path == "/apis/authorization.k8s.io/v1/subjectaccessreviews":
            spec = body["spec"]
            denied = spec["resourceAttributes"]["verb"] in server.denied_verbs
            status = {"allowed": spec["user"] in server.allowed and not denied}
            return 201, body | {"status": status}
        return _status(404, f"{path} not found")

    def _job(self, method: str, name: str, body: Any) -> tuple[int, dict[str, Any]]:
        server = self.server
        if method == "POST":
            try:
                jsonschema.validate(body, SCHEMA)
            except jsonschema.ValidationError as error:
                return _status(422, f"TrainJob is invalid: {error.json_path}: {error.message}")
            if body["metadata"]["name"] in server.jobs:
                return _status(409, "already exists")
            server.created.append(json.loads(json.dumps(body)))
            job = server.accept(body)
            if server.runs_jobs is not None:
                server.run(job, server.runs_jobs)
            return 201, job
        if name not in server.jobs:
            return _status(404, f'trainjobs "{name}" not found')
        job = server.jobs[name]
        if method == "DELETE":
            server.delete(name)
            return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        if "deletionTimestamp" in job["metadata"]:
            server.leaving_looks -= 1
            if not server.leaving_looks:
                del server.jobs[name]
        return 200, job

    def _pods(self, job: str) -> list[dict[str, Any]]:
        return [
            {
                "metadata": {
                    "name": name,
                    "creationTimestamp": _now(),
                    "labels": {
                        "jobset.sigs.k8s.io/jobset-name": job,
                        "jobset.sigs.k8s.io/replicatedjob-name": "node",
                        "batch.kubernetes.io/job-completion-index": "0",
                    },
                },
                "spec": {"containers": [{"name": "node", "image": "torch"}]},
                "status": {"phase": "Running"},
            }
            for name in self.server.logs
            if name.startswith(f"{job}-node-0-0")
        ]

    def _events(self) -> list[dict[str, Any]]:
        return [
            {
                "metadata": {"name": f"event-{number}", "namespace": NAMESPACE},
                "involvedObject": {"kind": "TrainJob", "name": name},
                "firstTimestamp": _now(),
                "reason": "FailedScheduling",
                "message": message,
            }
            for name in self.server.jobs
            for number, (job, message) in enumerate(self.server.events)
            if job == name
        ]

    def _send_log(self, pod: str) -> None:
        """All of a log, and what comes to it, until its job has ended or is gone."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        job = pod.rsplit("-node-0-", 1)[0]
        with self.server.logs[pod].open("rb") as stream:
            while True:
                over = "status" in self.server.jobs.get(job, {"status": {}})
                self.wfile.write(stream.read())
                self.wfile.flush()
                if over:
                    return
                time.sleep(0.05)


def _status(code: int, message: str) -> tuple[int, dict[str, Any]]:
    return code, {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "message": message,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
