"""A Kubernetes API of executors' pods over a real socket; a pod that its schema allows runs as a process here.

It answers what Spark's driver asks in client mode, and refuses a pod that Kubernetes' published schema does not take.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

DRIVER_POD = "recap-prepare-driver"
_VERB = {"POST": "create", "DELETE": "deletecollection", "GET": "list"}


class PodApi(ThreadingHTTPServer):
    """Pods of executors.

    Attributes:
        pods: those created, by name.
        refused: why pods were refused.
        rights: verb and resource of every request, as a role names them.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pods: dict[str, dict[str, Any]] = {}
        self.refused: list[str] = []
        self.rights: set[tuple[str, str]] = set()
        self.closing = threading.Event()
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def master(self) -> str:
        return f"k8s://http://127.0.0.1:{self.server_port}"

    def run(self, pod: dict[str, Any]) -> None:
        """Start a pod's container as a process, with the environment and command that the pod says."""
        name = pod["metadata"]["name"]
        (container,) = pod["spec"]["containers"]
        fields = {"status.podIP": "127.0.0.1", "metadata.name": name}
        environment = dict(os.environ)
        for one in container["env"]:
            source = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            environment[one["name"]] = fields[source] if source else one.get("value", "")
        environment["SPARK_LOCAL_DIRS"] = str(self._folder)
        command = [sys.executable, *container["command"][1:], *container["args"]]
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def status(self, name: str) -> dict[str, Any]:
        """The status that a kubelet would report."""
        process = self._processes.get(name)
        code = process.poll() if process is not None else None
        if code is None:
            return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        state = {"terminated": {"exitCode": code if code >= 0 else 128 - code, "reason": "Error"}}
        return {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [
                {
                    "name": "executor",
                    "ready": False,
                    "restartCount": 0,
                    "image": "",
                    "imageID": "",
                    "state": state,
                }
            ],
        }

    def kill(self, name: str | None = None) -> None:
        """Kill a pod's processes, or those of all pods."""
        for each, process in self._processes.items():
            if name in (None, each) and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def pod_api(folder: Path) -> Iterator[PodApi]:
    """An API server, and the end of all its pods."""
    api = PodApi(folder)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        api.closing.set()
        api.shutdown()
        api.kill()
        api.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: PodApi
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        kind, _, name = url.path.partition("/namespaces/")[2].partition("/")[2].partition("/")
        watches = "watch" in parse_qs(url.query)
        verb = "watch" if watches else "get" if name else _VERB[self.command]
        self.server.rights.add((verb, kind))
        if watches:
            return self._watch(url.query)
        if kind == "pods" and self.command == "POST":
            return self._create(json.loads(body))
        if kind == "pods" and self.command == "GET":
            return self._answer(200, self._pod(name) if name else self._list(url.query))
        if self.command == "POST":
            return self._answer(201, json.loads(body))
        if kind == "pods" and self.command == "DELETE":
            self.server.kill(name or None)
        return self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    do_GET = do_POST = do_DELETE = do_PATCH = _handle  # noqa: N815

    def _watch(self, query: str) -> None:
        """Send an event for each pod that ends. The client asks by a web socket first, then by plain HTTP."""
        if self.headers.get("Upgrade"):
            return self._answer(200, {})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        reported: set[str] = set()
        while not self.server.closing.wait(0.1):
            for pod in self._list(query)["items"]:
                name = pod["metadata"]["name"]
                if pod["status"]["phase"] != "Running" and name not in reported:
                    reported.add(name)
                    line = json.dumps({"type": "MODIFIED", "object": pod}).encode() + b"\n"
                    try:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    except OSError:
                        return  # the driver has ended

    def _create(self, pod: dict[str, Any]) -> None:
        try:
            kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as error:
            self.server.refused.append(error.message)
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422}
            return self._answer(422, status | {"message": error.message})
        name = pod["metadata"]["name"]
        pod["metadata"] |= {"uid": name, "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.server.pods[name] = pod
        self.server.run(pod)
        return self._answer(201, self._pod(name))

    def _pod(self, name: str) -> dict[str, Any]:
        known = self.server.pods.get(name) or {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "uid": name, "namespace": "default"},
            "spec": {"containers": []},
        }
        return known | {"status": self.server.status(name)}

    def _list(self, query: str) -> dict[str, Any]:
        selected = parse_qs(query).get("fieldSelector", [""])[0]
        names = [selected.removeprefix("metadata.name=")] if selected else list(self.server.pods)
        items = [self._pod(name) for name in names]
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "2"}, "items": items}

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
