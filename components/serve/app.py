"""The HTTP application: scores at ``/invocations``, health, readiness and metrics."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from components.serve.metrics import Metrics
from components.serve.payload import ARROW, FORMATS, JSON, read_request, write_error, write_scores
from components.serve.prediction_log import PredictionLog
from components.serve.served_model import ServedModel

VERSION_HEADER = "recap-model-version"
_MOST_SCORED = 64  # requests at once, whose bodies have arrived
_BODY_TIMEOUT_S = 30

log = logging.getLogger(__name__)


class _RequestError(Exception):
    """An answer that is an error: the HTTP status, and one line for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ScoringApp:
    """Scores requests in threads, one for each core.

    Args:
        current: returns the model of a new request.
        prediction_log: where served rows are written; None for nowhere.
        longest_body: in bytes; longer ones are refused.

    Attributes:
        draining: the server is about to end: ``/ready`` says so, and responses close their connections.
        last_request_s: when the newest request for scores arrived, in the monotonic clock's seconds.
        app: the ASGI application.
    """

    def __init__(
        self,
        current: Callable[[], ServedModel],
        metrics: Metrics,
        prediction_log: PredictionLog | None,
        longest_body: int,
    ) -> None:
        self._current, self._metrics, self._log = current, metrics, prediction_log
        self._longest_body = longest_body
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="score")
        self._in_flight, self._scored, self._bytes_arriving = 0, 0, 0
        self.draining = False
        self.last_request_s = 0.0
        self.app = Starlette(
            routes=[
                Route("/invocations", self._invoke, methods=["POST"]),
                *(Route(path, self._health) for path in ("/health", "/ping")),
                Route("/ready", self._ready),
                Route("/version", self._mlflow_version),
                Route("/metrics", self._send_metrics),
            ]
        )

    async def _invoke(self, request: Request) -> Response:
        """Score the rows of a request."""
        self.last_request_s = time.monotonic()
        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            response = await self._score(request)
        except _RequestError as error:
            code = "INTERNAL_ERROR" if error.status == 500 else "BAD_REQUEST"
            response = Response(write_error(code, str(error)), error.status, media_type=JSON)
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)
        self._metrics.requests.labels(response.status_code).inc()
        if self.draining or response.status_code in (408, 413, 503):
            response.headers["connection"] = "close"
        return response

    async def _score(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in FORMATS:
            raise _RequestError(
                415, f"Content-Type: {content_type[:80] or 'none'}; give one of {', '.join(FORMATS)}"
            )
        accepted = request.headers.get("accept", "*/*")
        wants_arrow = ARROW in accepted or (content_type == ARROW and "*/*" in accepted)
        body = await self._read_body(request)
        # Only now: clients that send slowly must not take the room of those that do not.
        if self._scored == _MOST_SCORED:
            raise _RequestError(503, f"{_MOST_SCORED} requests are being scored; send it again later")
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        model = self._current()
        answer_type = ARROW if wants_arrow else JSON
        self._scored += 1
        try:
            content = await loop.run_in_executor(
                self._threads, self._score_body, model, body, content_type, answer_type
            )
        finally:
            self._scored -= 1
        self._metrics.latency.labels(FORMATS[content_type]).observe(time.perf_counter() - started)
        return Response(content, media_type=answer_type, headers={VERSION_HEADER: model.version})

    async def _read_body(self, request: Request) -> bytes:
        """The whole body. A length that the client declares is checked before anything is read."""
        too_long = _RequestError(
            413, f"body: is longer than {self._longest_body >> 20} MiB; send fewer rows at a time"
        )
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._longest_body:
            raise too_long
        chunks, length = [], 0
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                async for chunk in request.stream():
                    length += len(chunk)
                    self._bytes_arriving += len(chunk)
                    if length > self._longest_body:
                        raise too_long
                    if self._bytes_arriving > _MOST_SCORED * self._longest_body:
                        raise _RequestError(503, "too many bodies arrive at once; send it again later")
                    chunks.append(chunk)
        except TimeoutError:
            raise _RequestError(408, f"body: did not arrive within {_BODY_TIMEOUT_S} s") from None
        except ClientDisconnect:
            raise _RequestError(400, "body: the client closed the connection before its end") from None
        finally:
            self._bytes_arriving -= length
        return b"".join(chunks)

    def _score_body(self, model: ServedModel, body: bytes, content_type: str, answer_type: str) -> bytes:
        try:
            request = read_request(body, content_type)
            scored = model.pyfunc.score(request.rows, request.params)
            if self._log is not None:
                self._log.add(model, request, scored)
        except ValueError as error:
            raise _RequestError(400, str(error)) from None
        except Exception as error:
            log.error("event=failure model=%s error=%r", model, f"{type(error).__name__}: {error}")
            log.debug("event=traceback", exc_info=True)
            raise _RequestError(500, "the request could not be scored; the server's log says why") from None
        outputs = model.pyfunc.outputs
        self._metrics.rows.inc(len(scored.scores))
        self._metrics.scores.observe(model.version, outputs, scored.scores)
        return write_scores(scored.scores, outputs, answer_type)

    async def _health(self, _: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("\n")

    async def _ready(self, _: Request) -> Response:
        """Whether new requests should come here, and the version that scores them."""
        model = self._current()
        content = {"model": model.name, "version": model.version, "draining": self.draining}
        return JSONResponse(content, 503 if self.draining else 200)

    async def _mlflow_version(self, _: Request) -> Response:
        """MLflow's release, as its own server says it."""
        from mlflow.version import VERSION

        return PlainTextResponse(VERSION)

    async def _send_metrics(self, _: Request) -> Response:
        """The metrics in Prometheus' text format."""
        return Response(generate_latest(self._metrics.collectors), media_type=CONTENT_TYPE_LATEST)
