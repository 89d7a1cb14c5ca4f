"""Serve a version of the registry, or the one that an alias points to, until SIGTERM."""

import gc
import logging
import re
import signal
import socket
import time
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from components.common import registry
from components.serve.app import ScoringApp
from components.serve.follow_alias import AliasFollower
from components.serve.metrics import Metrics
from components.serve.prediction_log import PredictionLog
from components.serve.served_model import load_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

# A load balancer notices an unready server within seconds; until then it sends requests.
_QUIET_S, _LONGEST_DRAIN_S = 2.0, 20.0
_LONGEST_REQUEST_S = 30
_ALIAS = re.compile(r"@([\w-]+)$")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServeSettings:
    """What to serve, and where.

    Attributes:
        model: ``models:/NAME@ALIAS``, which is followed, or ``models:/NAME/VERSION``.
        port: 0 for any free one.
        prediction_log: folder or URI.
    """

    model: str
    tracking_uri: str
    host: str = "127.0.0.1"
    port: int = 5001
    prediction_log: str | None = None
    poll_s: float = 2.0
    longest_body_mib: int = 64


def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or an interrupt.

    After SIGTERM the requests in flight, and those that still come, are answered; the server ends when none has come
    for 2 s, at the latest after 20 s.

    Raises:
        RegistryError: the registry does not answer, or the version cannot be loaded.
        OSError: the address is in use, or the prediction log cannot be written.
    """
    with _bind(settings.host, settings.port) as listener:
        client = registry.connect(settings.tracking_uri)
        metrics = Metrics()
        log_files = PredictionLog(settings.prediction_log, metrics) if settings.prediction_log else None
        try:
            follower = _load(client, settings, metrics)
            app = ScoringApp(lambda: follower.model, metrics, log_files, settings.longest_body_mib << 20)
            if _ALIAS.search(settings.model):
                follower.start()
            host, port = listener.getsockname()[:2]
            # A request's lists trigger collections, which would look at every object of the libraries: 0.2 s in one
            # of a hundred requests. A model has no cycles, so it is freed all the same.
            gc.collect()
            gc.freeze()
            log.info("event=serving model=%s address=http://%s:%d", follower.model, host, port)
            _Server(app).run([listener])
            follower.stop()
        finally:
            if log_files is not None:
                log_files.close()
    log.info("event=stopped")


def _load(client: "MlflowClient", settings: ServeSettings, metrics: Metrics) -> AliasFollower:
    name, version = registry.find_named_version(client, settings.model)
    alias = _ALIAS.search(settings.model)
    model = load_version(client, name, version)
    metrics.set_served(name, version)
    return AliasFollower(client, alias[1] if alias else "", model, metrics, settings.poll_s)


def _bind(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet: an address in use is reported before a model is loaded."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise OSError(f"{host}:{port}: cannot be bound ({error.strerror}); give another port") from None
    return bound


class _Server(uvicorn.Server):
    """uvicorn's server that drains on SIGTERM: it answers for as long as requests come, up to a limit."""

    def __init__(self, app: ScoringApp) -> None:
        super().__init__(
            uvicorn.Config(
                app.app,
                log_level="error",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=_LONGEST_REQUEST_S,
                timeout_keep_alive=75,
            )
        )
        self._app = app
        self._drain_began_s = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain on the first SIGTERM; end at once, after the requests in flight, on another signal."""
        if sig == signal.SIGTERM and not self._app.draining:
            log.info("event=draining")
            self._drain_began_s, self._app.draining = time.monotonic(), True
        elif sig == signal.SIGTERM:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop; called every tenth of a second."""
        now = time.monotonic()
        began, newest = self._drain_began_s, self._app.last_request_s
        if self._app.draining and (now - max(began, newest) > _QUIET_S or now - began > _LONGEST_DRAIN_S):
            return True
        return await super().on_tick(counter)
