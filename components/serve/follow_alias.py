"""Follow an alias of the registry: load the version that it points to while the one before is served."""

import logging
import threading
import time
from typing import TYPE_CHECKING

from components.common import registry
from components.serve.metrics import Metrics
from components.serve.served_model import ServedModel, load_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FIRST_RETRY_S, _LONGEST_RETRY_S = 10.0, 600.0
_REQUEST_TIMEOUT_S = 15

log = logging.getLogger(__name__)


class AliasFollower:
    """Polls an alias in a thread of its own and replaces the served model when it moves.

    A request keeps the model that it began with, which is freed after its last request. A version that cannot be
    loaded is refused: the one before stays, and the version is tried again after 10, 20, 40, … 600 s.

    Attributes:
        model: what new requests are scored by.
    """

    def __init__(
        self, client: "MlflowClient", alias: str, model: ServedModel, metrics: Metrics, poll_s: float
    ) -> None:
        self.model = model
        self._client, self._alias, self._metrics, self._poll_s = client, alias, metrics, poll_s
        self._refused: tuple[str, int, float] = ("", 0, 0.0)  # version, failures, time of the next attempt
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow-alias", daemon=True)

    def start(self) -> None:
        """Start to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to poll. A version that is being loaded is not waited for."""
        self._stopped.set()

    def check(self) -> None:
        """Poll once, and load the alias's version if it is another than the served one."""
        with registry.patience(_REQUEST_TIMEOUT_S, 1):
            try:
                target = registry.aliases(self._client, self.model.name).get(self._alias)
            except registry.RegistryError as error:
                self._set_registry_state(up=False, reason=str(error))
                return
            self._set_registry_state(up=True)
            if target is None:
                self._refuse("", f"{self.model.name}: has no alias {self._alias} any more")
            elif target == self.model.version:
                self._accept()
            elif self._is_due(target):
                self._replace(target)

    def _follow(self) -> None:
        while not self._stopped.wait(self._poll_s):
            try:
                self.check()
            except Exception as error:  # noqa: BLE001 - the thread must outlive what it did not expect
                self._refuse("", f"{type(error).__name__}: {error}")

    def _replace(self, version: str) -> None:
        started = time.monotonic()
        try:
            model = load_version(self._client, self.model.name, version)
        except (registry.RegistryError, MemoryError) as error:
            self._refuse(version, str(error) or "out of memory")
            return
        before, self.model = self.model, model
        self._accept()
        self._metrics.set_served(model.name, version)
        log.info("event=replaced from=%s to=%s load_s=%.1f", before, model, time.monotonic() - started)

    def _is_due(self, version: str) -> bool:
        refused, _, due_s = self._refused
        return version != refused or time.monotonic() >= due_s

    def _refuse(self, version: str, reason: str) -> None:
        before, failures, _ = self._refused
        failures = failures + 1 if version == before else 1
        wait_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2 ** (failures - 1))
        self._refused = version, failures, time.monotonic() + wait_s
        if self._metrics.set_refused(version, reason):
            log.error("event=refused version=%r served=%s reason=%r", version, self.model, reason)

    def _accept(self) -> None:
        self._refused = ("", 0, 0.0)
        self._metrics.set_refused(None, "")

    def _set_registry_state(self, up: bool, reason: str = "") -> None:
        if self._metrics.set_registry_up(up):
            log.log(logging.INFO if up else logging.ERROR, "event=registry up=%s reason=%r", up, reason)
