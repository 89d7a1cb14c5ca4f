"""One column beside the reference's: its drift metrics, and what of them chance or usual variation explains."""

import math
from dataclasses import dataclass

import numpy as np

from components.validate.drift.metrics import METRIC_OF_NAME, METRICS, MISSING, Distance, Pair
from components.validate.drift.sample import Sample
from components.validate.profile.columns import Block
from components.validate.profile.statistics import Counts
from recap_model.config.steps.drift import DriftConfig

BASELINE_SPREAD = 2.0  # times what the reference's own days differ by


@dataclass(frozen=True)
class Change:
    """One position's distances from the reference over some rows.

    Attributes:
        where: a day, or the window.
        found, allowed: by metric, those that can be computed.
        missing: the fraction of missing values of the reference, and now.
        means: of the reference, and now; NaN for ids.
        gone: ids that vanished, the first of them.
    """

    column: str
    source: str
    role: str
    where: str
    found: dict[str, float]
    allowed: dict[str, float]
    missing: tuple[float, float]
    means: tuple[float, float]
    gone: str = ""

    @property
    def excess(self) -> float:
        """The greatest distance as a multiple of what is allowed; missing values aside."""
        return max((self._excess(name) for name in self.found if name != MISSING.name), default=0.0)

    @property
    def worst(self) -> str:
        """The metric that is furthest beyond what is allowed; missing values aside."""
        return max((name for name in self.found if name != MISSING.name), key=self._excess, default="")

    @property
    def furthest(self) -> float:
        """`excess`, or that of the fraction of missing values if it is greater."""
        return max(self.excess, self._excess(MISSING.name))

    def _excess(self, name: str) -> float:
        if not self.found[name]:
            return 0.0
        return self.found[name] / self.allowed[name] if self.allowed[name] else math.inf


class Column:
    """One position of the reference: its rows, and how far its own days are from one another."""

    def __init__(
        self, block: Block, label: str, source: str, whole: Sample, days: list[Sample], config: DriftConfig
    ) -> None:
        self._block, self._label, self._source, self._whole = block, label, source, whole
        self._bounds = config.bounds_of(source)
        self._are_ids = block.role == "discrete"
        self._stable_ids = _common_bins(whole, days)
        self._between_days: dict[str, float] = {}
        for part in days if len(days) > 1 else ():
            for name, distance in _distances(Pair.of(whole - part, part, are_ids=self._are_ids)).items():
                self._between_days[name] = max(distance.value, self._between_days.get(name, 0.0))

    def change(self, sample: Sample, where: str) -> Change:
        """How far some rows are from the reference."""
        pair = Pair.of(self._whole, sample, are_ids=self._are_ids, stable_ids=self._stable_ids)
        distances = _distances(pair)
        return Change(
            column=self._label,
            source=self._source,
            role=self._block.role,
            where=where,
            found={name: distance.value for name, distance in distances.items()},
            allowed={name: self._allowed(name, distance.noise) for name, distance in distances.items()},
            missing=(self._whole.missing / self._whole.rows, sample.missing / sample.rows),
            means=(math.nan, math.nan) if self._are_ids else (self._whole.moments[0], sample.moments[0]),
            gone=", ".join(distance.detail for distance in distances.values() if distance.detail),
        )

    def _allowed(self, name: str, noise: float) -> float:
        metric = METRIC_OF_NAME[name]
        bound = max(self._bounds[metric.bound], BASELINE_SPREAD * self._between_days.get(name, 0.0))
        return bound + noise if metric.is_biased else max(bound, noise)


def _distances(pair: Pair) -> dict[str, Distance]:
    """Each metric that is defined for a pair, by name."""
    found = {metric.name: metric.measure(pair) for metric in (*METRICS, MISSING)}
    return {name: distance for name, distance in found.items() if distance is not None}


def _common_bins(whole: Sample, days: list[Sample]) -> Counts:
    common = whole.bins
    for day in days:
        common = np.intersect1d(common, day.bins, assume_unique=True)
    return common
