"""Drift metrics of one column, and what of them chance or usual variation explains."""

import math
from dataclasses import dataclass

import numpy as np

from components.validate.drift.distribution import Distribution
from components.validate.drift.metrics import METRICS, METRICS_BY_NAME, MISSING, Distance, Pair
from components.validate.profile.columns import Block
from components.validate.profile.statistics import Counts
from recap_model.config.steps.drift import DriftConfig

BASELINE_SPREAD = 2.0  # times the greatest difference between the reference's days


@dataclass(frozen=True)
class Change:
    """One position's distances from the reference over some rows.

    Attributes:
        where: a day, or the window.
        values, allowed: each defined metric's value, and the value that is allowed.
        missing: the fraction of missing values, of the reference and of these rows.
        means: of the reference and of these rows; NaN for ids.
        gone: the first of the ids that no longer occur.
    """

    column: str
    source: str
    role: str
    where: str
    values: dict[str, float]
    allowed: dict[str, float]
    missing: tuple[float, float]
    means: tuple[float, float]
    gone: str = ""

    @property
    def excess(self) -> float:
        """The greatest distance as a multiple of what is allowed; missing values aside."""
        return max((self._excess(name) for name in self.values if name != MISSING.name), default=0.0)

    @property
    def worst(self) -> str:
        """The metric that is furthest beyond what is allowed; missing values aside."""
        return max((name for name in self.values if name != MISSING.name), key=self._excess, default="")

    @property
    def furthest(self) -> float:
        """`excess`, or that of the fraction of missing values if it is greater."""
        return max(self.excess, self._excess(MISSING.name))

    def _excess(self, name: str) -> float:
        if not self.values[name]:
            return 0.0
        return self.values[name] / self.allowed[name] if self.allowed[name] else math.inf


class Column:
    """One position of the reference: its distribution, and how far its days differ from one another."""

    def __init__(
        self,
        block: Block,
        label: str,
        source: str,
        window: Distribution,
        days: list[Distribution],
        config: DriftConfig,
    ) -> None:
        self._block, self._label, self._source, self._window = block, label, source, window
        self._bounds = config.bounds_of(source)
        self._are_ids = block.are_ids
        self._stable_ids = _intersect_bins(window, days)
        self._between_days: dict[str, float] = {}
        for day in days if len(days) > 1 else ():
            pair = Pair.align(window - day, day, are_ids=self._are_ids)
            for name, distance in _measure_distances(pair).items():
                self._between_days[name] = max(distance.value, self._between_days.get(name, 0.0))

    def change(self, current: Distribution, where: str) -> Change:
        """Measure how far some rows have drifted from the reference."""
        pair = Pair.align(self._window, current, are_ids=self._are_ids, stable_ids=self._stable_ids)
        distances = _measure_distances(pair)
        return Change(
            column=self._label,
            source=self._source,
            role=self._block.role,
            where=where,
            values={name: distance.value for name, distance in distances.items()},
            allowed={name: self._allowed(name, distance.noise) for name, distance in distances.items()},
            missing=(self._window.missing / self._window.rows, current.missing / current.rows),
            means=(math.nan, math.nan) if self._are_ids else (self._window.moments[0], current.moments[0]),
            gone=", ".join(distance.detail for distance in distances.values() if distance.detail),
        )

    def _allowed(self, name: str, noise: float) -> float:
        metric = METRICS_BY_NAME[name]
        bound = max(self._bounds[metric.bound], BASELINE_SPREAD * self._between_days.get(name, 0.0))
        return bound + noise if metric.is_biased else max(bound, noise)


def _measure_distances(pair: Pair) -> dict[str, Distance]:
    """Each metric that is defined for a pair, by name."""
    distances = {metric.name: metric.measure(pair) for metric in (*METRICS, MISSING)}
    return {name: distance for name, distance in distances.items() if distance is not None}


def _intersect_bins(window: Distribution, days: list[Distribution]) -> Counts:
    common = window.bins
    for day in days:
        common = np.intersect1d(common, day.bins, assume_unique=True)
    return common
