"""Prometheus metrics of the server: requests, latency, served and refused versions, distribution of the scores."""

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

_LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# For probabilities, values and weighted scores.
_SCORE_BOUNDS = (
    *(-1000.0, -100.0, -10.0, -1.0, -0.1, 0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2),
    *(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0, 10_000.0),
)


class Metrics:
    """The server's metrics in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second series for each counter, with the time of its first value
        self.collectors = CollectorRegistry()
        one = self.collectors
        self.requests = Counter(
            "recap_requests", "Requests for scores by HTTP status.", ["status"], registry=one
        )
        self.latency = Histogram(
            "recap_request_seconds",
            "Time from the whole request's arrival to its response.",
            ["format"],
            buckets=_LATENCY_BOUNDS_S,
            registry=one,
        )
        self.rows = Counter("recap_rows", "Rows that were scored.", registry=one)
        self.in_flight = Gauge(
            "recap_requests_in_flight", "Requests for scores that are not answered.", registry=one
        )
        self.served = Gauge(
            "recap_served_version", "1 for the version of new requests.", ["model", "version"], registry=one
        )
        self.replaced = Counter(
            "recap_version_changes", "How often the served version changed.", registry=one
        )
        self.refused = Gauge(
            "recap_refused_version",
            "1 for a version that was not loaded; see the log.",
            ["version"],
            registry=one,
        )
        self.registry_up = Gauge(
            "recap_registry_up", "1 if the registry answered the last poll.", registry=one
        )
        self.logged = Counter(
            "recap_prediction_log_rows", "Rows by what became of them.", ["result"], registry=one
        )
        self.scores = ScoreDistribution()
        self.collectors.register(self.scores)
        self.registry_up.set(1)
        self._version = ""
        self._registry_is_up = True
        self._refusal: tuple[str | None, str] = (None, "")

    def set_served(self, model: str, version: str) -> None:
        """Record the version that scores new requests."""
        self.served.clear()
        self.served.labels(model, version).set(1)
        if self._version:
            self.replaced.inc()
            self.scores.keep(self._version, version)
        self._version = version

    def set_refused(self, version: str | None, reason: str) -> bool:
        """Record the version that is refused, None if there is none; returns whether that is new."""
        if self._refusal == (version, reason):
            return False
        self._refusal = version, reason
        self.refused.clear()
        if version is not None:
            self.refused.labels(version).set(1)
        return True

    def set_registry_up(self, up: bool) -> bool:
        """Record whether the registry answers; returns whether that has changed."""
        changed, self._registry_is_up = self._registry_is_up != up, up
        self.registry_up.set(up)
        return changed


class ScoreDistribution(Collector):
    """A histogram for each task, and the score, by version; counts whole arrays at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bounds = np.array(_SCORE_BOUNDS)
        self._counts: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def observe(self, version: str, outputs: list[str], scores: NDArray[np.float32]) -> None:
        """Count scores, (rows, outputs)."""
        width = len(self._bounds) + 1
        buckets = np.searchsorted(self._bounds, scores)
        sums = scores.sum(axis=0, dtype=np.float64)
        with self._lock:
            for column, output in enumerate(outputs):
                key = version, output
                counts = np.bincount(buckets[:, column], minlength=width)
                self._counts[key] = self._counts.get(key, 0) + counts
                self._sums[key] = self._sums.get(key, 0.0) + float(sums[column])

    def keep(self, *versions: str) -> None:
        """Forget all other versions."""
        with self._lock:
            for key in [key for key in self._counts if key[0] not in versions]:
                del self._counts[key], self._sums[key]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The histograms, for Prometheus."""
        family = HistogramMetricFamily(
            "recap_score",
            "Predictions of each task, and the weighted score (output score).",
            labels=["version", "output"],
        )
        with self._lock:
            for key, counts in self._counts.items():
                cumulative = np.cumsum(counts)
                names = [*map(str, _SCORE_BOUNDS), "+Inf"]
                buckets = [(name, float(count)) for name, count in zip(names, cumulative, strict=True)]
                family.add_metric(key, buckets, self._sums[key])
        yield family
