"""Polls the registry for the champion all month, as a serving system does."""

import threading
import time
from dataclasses import dataclass

import requests

_EVERY_S = 0.25
_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Seen:
    """A champion, from when it was first seen; ``version`` is None where there is none."""

    at: float
    version: str | None


class ChampionMonitor:
    """Polls the champion several times a second; no answer is not recorded."""

    def __init__(self, uri: str, name: str) -> None:
        self._url, self._name = f"{uri}/api/2.0/mlflow/registered-models/get", name
        self._ended = threading.Event()
        self.polls = 0
        self.seen: list[Seen] = []
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> "ChampionMonitor":
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._ended.wait(_EVERY_S):
            try:
                answer = requests.get(self._url, params={"name": self._name}, timeout=_TIMEOUT_S)
            except requests.RequestException:
                continue
            if answer.status_code == 404:
                self._record(None)
            elif answer.ok:
                aliases = answer.json()["registered_model"].get("aliases", [])
                held = [alias["version"] for alias in aliases if alias["alias"] == "champion"]
                self._record(held[0] if held else None)

    def _record(self, version: str | None) -> None:
        self.polls += 1
        if not self.seen or self.seen[-1].version != version:
            self.seen.append(Seen(time.time(), version))
