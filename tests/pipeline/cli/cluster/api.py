"""A server that answers as the published API of Kubeflow Pipelines says, and refuses every request that does not fit.

Paths, methods and the fields of bodies are those of the generated client of the API's OpenAPI description
(kfp-server-api); what a request does is kept in memory.
"""

import contextlib
import copy
import inspect
import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
from kfp_server_api import api

_CALL = re.compile(r"'(/apis/[^']+)', '(\w+)'")
_QUERY = re.compile(r"query_params\.append\(\('([^']+)'")
_FREE = ("object", "dict(str, object)")


def operations() -> Iterator[tuple[str, re.Pattern[str], set[str], str | None]]:
    """Each call of the API: method, pattern of the path, names in the query, and the model of the body."""
    for name in vars(api):
        if not name.endswith("_api"):
            continue
        for kind in vars(getattr(api, name)).values():
            if not inspect.isclass(kind) or not kind.__name__.endswith("Api"):
                continue
            for method, function in inspect.getmembers(kind, inspect.isfunction):
                source = inspect.getsource(function)
                found = _CALL.search(source)
                if not method.endswith("_with_http_info") or found is None:
                    continue
                path, verb = found.groups()
                pattern = re.compile(re.sub(r"\\\{[^}]*\\\}", "([^/:]+)", re.escape(path)) + "$")
                body = re.search(r":param (V2beta1\w+) \w+:[^\n]*", source)
                yield verb, pattern, set(_QUERY.findall(source)), body[1] if body else None


def misfits(model: str, value: Any, where: str) -> Iterator[str]:
    """What in a JSON value is not as the model of the API says."""
    if model in _FREE or value is None:
        return
    if found := re.fullmatch(r"list\[(.+)\]", model):
        for number, item in enumerate(value):
            yield from misfits(found[1], item, f"{where}.{number}")
        return
    if model in ("str", "int", "bool", "float", "datetime"):
        # In JSON the API writes 64-bit integers as text, and takes numbers for them.
        kinds = {"str": (str, int), "int": int, "bool": bool, "float": (int, float), "datetime": str}
        if not isinstance(value, kinds[model]):
            yield f"{where}: {value!r} is no {model}"
        return
    kind = getattr(kfp_server_api, model)
    if not hasattr(kind, "openapi_types") or not kind.openapi_types:
        allowed = {item for name, item in vars(kind).items() if name.isupper() and isinstance(item, str)}
        if value not in allowed:
            yield f"{where}: {value!r} is none of {sorted(allowed)}"
        return
    fields = {kind.attribute_map[name]: inner for name, inner in kind.openapi_types.items()}
    for name, item in value.items():
        if name not in fields:
            yield f"{where}.{name}: no field of {model}"
        else:
            yield from misfits(fields[name], item, f"{where}.{name}")


class PipelinesApi(ThreadingHTTPServer):
    """The server.

    ``answer`` is what every request gets instead, if set; after ``dies_after`` requests none is answered; ``misfit``
    is what was wrong with requests; with ``multi_user`` what belongs to a namespace is seen in that one alone.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.operations = list(operations())
        self.misfit: list[str] = []
        self.tokens: set[str] = set()
        self.multi_user = False
        self.answer: tuple[int, dict[str, Any]] | None = None
        self.dies_after: int | None = None
        self.hang: threading.Event | None = None
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(other: PipelinesApi | None = None) -> Iterator[PipelinesApi]:
    """A server on a port of its own, until the end of the block; it holds what ``other`` does, if there is one."""
    with PipelinesApi() as server:
        for name in ("experiments", "runs", "recurring", "pipelines", "versions") if other else ():
            setattr(server, name, copy.deepcopy(getattr(other, name)))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: PipelinesApi
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_json = "json" in (self.headers.get("Content-Type") or "")
        body = json.loads(raw) if raw and is_json else raw or None
        if self.server.hang is not None:
            self.server.hang.wait(30)
        if self.server.dies_after is not None:
            self.server.dies_after -= 1
            if self.server.dies_after < 0:
                self._say(503, {"error": "no longer there"})
                return
        if self.server.answer is not None:
            self._say(*self.server.answer)
            return
        if self.server.tokens and self.headers.get("authorization") not in self.server.tokens:
            self._say(401, {"error": "no such token"})
            return
        wrong = list(self._misfits(parts.path, parse_qs(parts.query), body if is_json else None))
        if wrong:
            self.server.misfit += wrong
            self._say(400, {"error": "; ".join(wrong)})
            return
        self._say(*_do(self.server, self.command, parts.path, parse_qs(parts.query), body))

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - the names that http.server calls

    def _misfits(self, path: str, query: dict[str, list[str]], body: Any) -> Iterator[str]:
        for verb, pattern, names, model in self.server.operations:
            if verb == self.command and pattern.fullmatch(path):
                yield from (f"{path}: no query parameter {name}" for name in query if name not in names)
                if body is not None and model is not None:
                    yield from misfits(model, body, model)
                return
        yield f"{self.command} {path}: no operation of the API"

    def _say(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(BrokenPipeError):  # a client that waits no longer is part of the tests
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def _do(
    server: PipelinesApi, verb: str, path: str, query: dict[str, list[str]], body: Any
) -> tuple[int, dict[str, Any]]:
    kind, *rest = path.removeprefix("/apis/v2beta1/").split("/")
    now = datetime.now(UTC).isoformat()
    if kind == "healthz":
        return 200, {"multi_user": server.multi_user}
    asked = query.get("namespace", [""])[0] or (body or {} if isinstance(body, dict) else {}).get(
        "namespace", ""
    )
    if server.multi_user and not asked and kind in ("experiments", "pipelines") and rest in ([], ["upload"]):
        return 400, {"error": "a namespace is required"}
    if kind == "experiments":
        return _experiments(server, verb, query, body)
    if kind == "runs":
        if verb == "POST":
            made = {**body, "run_id": str(uuid.uuid4()), "state": "PENDING", "created_at": now}
            server.runs[made["run_id"]] = made
            return 200, made
        first, size = int(query.get("page_token", ["0"])[0]), int(query["page_size"][0])
        newest = list(reversed(_of(query, server.runs)))
        more = {"next_page_token": str(first + size)} if first + size < len(newest) else {}
        return 200, {"runs": newest[first : first + size], **more}
    if kind == "recurringruns":
        return _recurring(server, verb, rest, query, body, now)
    return _pipelines(server, verb, rest, query, body, now)


def _of(query: dict[str, list[str]], kept: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What is of the namespace and the experiment that are asked for, and passes the filter."""
    found = list(kept.values())
    for name in ("namespace", "experiment_id"):
        if name in query:
            found = [one for one in found if one.get(name, "") == query[name][0]]
    for predicate in json.loads(query.get("filter", ["{}"])[0]).get("predicates", []):
        assert predicate["operation"] in (1, "EQUALS")  # in JSON an enumeration's number or name
        found = [one for one in found if one[predicate["key"]] == predicate["stringValue"]]
    return found


def _experiments(
    server: PipelinesApi, verb: str, query: dict[str, list[str]], body: Any
) -> tuple[int, dict[str, Any]]:
    if verb == "GET":
        return 200, {"experiments": _of(query, server.experiments)}
    made = {**body, "experiment_id": str(uuid.uuid4())}
    server.experiments[made["experiment_id"]] = made
    return 200, made


def _recurring(
    server: PipelinesApi, verb: str, rest: list[str], query: dict[str, list[str]], body: Any, now: str
) -> tuple[int, dict[str, Any]]:
    if not rest and verb == "GET":
        return 200, {"recurringRuns": _of(query, server.recurring)}
    if not rest:
        made = {**body, "recurring_run_id": str(uuid.uuid4()), "created_at": now, "updated_at": now}
        server.recurring[made["recurring_run_id"]] = made
        return 200, made
    name, _, action = rest[0].partition(":")
    if name not in server.recurring:
        return 404, {"error": f"recurring run {name} not found"}
    if verb == "DELETE":
        del server.recurring[name]
    else:
        server.recurring[name] |= {
            "mode": {"enable": "ENABLE", "disable": "DISABLE"}[action],
            "updated_at": now,
        }
    return 200, {}


def _pipelines(
    server: PipelinesApi, verb: str, rest: list[str], query: dict[str, list[str]], body: Any, now: str
) -> tuple[int, dict[str, Any]]:
    if rest and rest[0] in ("upload", "upload_version"):
        import yaml

        text = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        documents = list(yaml.safe_load_all(text))
        spec = {"pipeline_spec": documents[0], "platform_spec": documents[1]}
        if rest[0] == "upload":
            made = {"pipeline_id": str(uuid.uuid4()), "display_name": query["name"][0], "created_at": now}
            made |= {"namespace": query.get("namespace", [""])[0]}
            if any(
                made.items() >= {"display_name": one["display_name"], "namespace": one["namespace"]}.items()
                for one in server.pipelines.values()
            ):
                return 409, {"error": "a pipeline of that name already exists"}
            server.pipelines[made["pipeline_id"]] = made
            name, owner = query["name"][0], made["pipeline_id"]
        else:
            name, owner = query["name"][0], query["pipelineid"][0]
        if any((one["display_name"], one["pipeline_id"]) == (name, owner) for one in server.versions):
            return 409, {"error": f"version {name} already exists"}
        version = {
            "pipeline_id": owner,
            "pipeline_version_id": str(uuid.uuid4()),
            "display_name": name,
            "created_at": now,
            "pipeline_spec": spec,
        }
        server.versions.append(version)
        return 200, made if rest[0] == "upload" else version
    if len(rest) == 2 and rest[1] == "versions":
        of_it = {str(n): one for n, one in enumerate(server.versions) if one["pipeline_id"] == rest[0]}
        return 200, {"pipeline_versions": list(reversed(_of(query, of_it)))}
    return 200, {"pipelines": _of(query, server.pipelines)}
