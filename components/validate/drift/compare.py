"""Comparison of a profile with a reference: columns, tasks and days, over the window and on each whole day."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from components.validate.drift import metrics
from components.validate.drift.column import BASELINE_SPREAD, Change, Column
from components.validate.drift.distribution import Distribution
from components.validate.drift.effective_rows import Correlations, effective_fraction
from components.validate.drift.reference import Reference
from components.validate.profile.columns import FEATURE_ROLES, list_blocks, locate_label
from components.validate.profile.profile import PartitionProfile, Profile
from recap_model.config import RecapConfig
from recap_model.config.steps.drift import DriftConfig

WINDOW = "the window"
_HOURS = 24


@dataclass(frozen=True)
class Level:
    """A figure of a task or a day, the reference's figure, and the bounds between which it may be."""

    subject: str
    where: str
    value: float
    usual: float
    lowest: float
    highest: float


@dataclass
class Comparison:
    """Each position's change over the window and by day, binary tasks' rates, value tasks' means, rows of days.

    ``nulls`` are the fractions of rows without a task's label, ``new`` the columns that the reference does not have.
    """

    changes: list[Change] = field(default_factory=list)
    rates: list[Level] = field(default_factory=list)
    means: list[Level] = field(default_factory=list)
    nulls: list[Level] = field(default_factory=list)
    rows: list[Level] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Drift:
    """A comparison with a reference of some name; without one, the reason."""

    against: str
    reason: str = ""
    comparison: Comparison | None = None

    def worst(self) -> list[Change]:
        """Each position where it is furthest from the reference; the furthest first."""
        by_column: dict[str, Change] = {}
        for change in self.comparison.changes if self.comparison else ():
            other = by_column.get(change.column)
            if other is None or change.furthest > other.furthest:
                by_column[change.column] = change
        return sorted(by_column.values(), key=lambda change: change.furthest, reverse=True)


def measure_drift(
    kind: str, reference: Reference, profile: Profile, correlations: Correlations, config: RecapConfig
) -> Drift:
    """Compare a profile with a reference, if there is one."""
    if reference.profile is None:
        return Drift(reference.name, reference.reason)
    comparison = compare(profile, reference.profile, correlations, config, by_day=kind == "drift")
    if not comparison.changes:
        return Drift(reference.name, "it has no feature column in common with the log")
    return Drift(reference.name, comparison=comparison)


def compare(
    current: Profile,
    reference: Profile,
    correlations: Correlations,
    config: RecapConfig,
    *,
    by_day: bool = True,
) -> Comparison:
    """Compare every feature column and task of two profiles.

    Args:
        correlations: of the rows of one id in each column, for the noise that chance explains.
        by_day: compare days, tasks' labels and numbers of rows too, as both profiles are of whole days of a log.
    """
    days, usual_days = (_merge_days(current), _merge_days(reference)) if by_day else ({}, {})
    profiles, usual = {WINDOW: current.window(), **days}, reference.window()
    comparison = Comparison()
    for block in list_blocks(config):
        if block.role not in (*FEATURE_ROLES, "weight") or block.key not in profiles[WINDOW].blocks:
            continue
        for label, source in zip(block.labels, block.sources, strict=True):
            if source in config.validation.drift.ignore:
                continue
            read = _DistributionReader(block.key, label, correlations.get(label, {}))
            window = read(usual)
            if window is None:
                comparison.new.append(label)
                continue
            usual_by_day = [day for day in map(read, usual_days.values()) if day is not None]
            column = Column(block, label, source, window, usual_by_day, config.validation.drift)
            for name, profile in profiles.items():
                if (distribution := read(profile)) is not None:
                    comparison.changes.append(column.change(distribution, name))
    if by_day:
        bounds = config.validation.drift
        for task in config.tasks:
            key, label = locate_label(config, task)
            labels = _Labels(task, key, label, usual, list(usual_days.values()), correlations.get(label, {}))
            if task in config.value_tasks:
                comparison.means += labels.levels(profiles, _mean_label, relative=bounds.max_mean_change)
            else:
                comparison.rates += labels.levels(
                    profiles, _positive_rate, relative=bounds.max_positive_rate_change
                )
            comparison.nulls += labels.levels(profiles, _null_rate, absolute=bounds.max_missing_rate_change)
        comparison.rows += _row_levels(days, usual_days, bounds)
    return comparison


@dataclass(frozen=True)
class _DistributionReader:
    """Reads one position's distribution from a profile; None if it has no rows of it."""

    key: str
    label: str
    correlations: dict[str, float]

    def __call__(self, profile: PartitionProfile) -> Distribution | None:
        distribution = Distribution.read(profile, self.key, self.label, self.correlations)
        return distribution if distribution is not None and distribution.rows else None


def _merge_days(profile: Profile) -> dict[str, PartitionProfile]:
    """Partitions by day; of a log by the hour, days with all their hours."""
    days: dict[str, list[PartitionProfile]] = {}
    hourly = any("/" in name for name in profile.partitions)
    for name, partition in profile.partitions.items():
        days.setdefault(name.partition("/")[0], []).append(partition)
    return {
        day: sum(partitions, PartitionProfile())
        for day, partitions in sorted(days.items())
        if not hourly or len(partitions) == _HOURS
    }


@dataclass(frozen=True)
class _Estimate:
    """A mean over some rows; their deviation, or None of a rate."""

    value: float
    rows: int
    deviation: float | None = None


@dataclass(frozen=True)
class _Labels:
    """A task's label in the reference and on its days: its block in a profile, and its name there."""

    task: str
    key: str
    label: str
    usual: PartitionProfile
    usual_days: list[PartitionProfile]
    correlations: dict[str, float]

    def levels(
        self,
        profiles: dict[str, PartitionProfile],
        measure: Callable[[PartitionProfile, str, str], _Estimate],
        *,
        relative: float = 0.0,
        absolute: float = 0.0,
    ) -> Iterator[Level]:
        """A mean in each profile that has rows for it; it may change by ``relative`` of itself plus ``absolute``."""
        usual = measure(self.usual, self.key, self.label)
        if not usual.rows:
            return
        effective_usual_rows = usual.rows * effective_fraction(self.usual, self.correlations)
        by_day = [measure(day, self.key, self.label).value for day in self.usual_days]
        spread = max((abs(value - usual.value) for value in by_day if math.isfinite(value)), default=0.0)
        usual_variation = BASELINE_SPREAD * spread if len(by_day) > 1 else 0.0
        for where, profile in profiles.items():
            now = measure(profile, self.key, self.label)
            if now.rows:
                effective_rows = now.rows * effective_fraction(profile, self.correlations)
                noise = _noise(usual, effective_usual_rows, now, effective_rows)
                slack = max(relative * usual.value + absolute, usual_variation, noise)
                yield Level(
                    self.task, where, now.value, usual.value, usual.value - slack, usual.value + slack
                )


def _noise(usual: _Estimate, usual_rows: float, now: _Estimate, rows: float) -> float:
    """What chance explains of the difference, by effective rows."""
    if usual.deviation is None or now.deviation is None:
        return metrics.rate_noise(usual.value, usual_rows, now.value, rows)
    # Few rows may be equal by chance, so their own deviation is no estimate of the spread.
    return metrics.mean_noise(usual.deviation, usual_rows, max(now.deviation, usual.deviation), rows)


def _positive_rate(profile: PartitionProfile, key: str, label: str) -> _Estimate:
    """The fraction of positives, and of how many labels."""
    positives, missing, rows = _count_labels(profile, key, label)
    return _Estimate(positives / (rows - missing) if rows > missing else math.nan, rows - missing)


def _null_rate(profile: PartitionProfile, key: str, label: str) -> _Estimate:
    """The fraction of rows without a label, and of how many rows."""
    _, missing, rows = _count_labels(profile, key, label)
    return _Estimate(missing / rows if rows else math.nan, rows)


def _mean_label(profile: PartitionProfile, key: str, label: str) -> _Estimate:
    """The mean of the finite labels, of how many, and their deviation; of no label where a sum overflowed."""
    distribution = Distribution.read(profile, key, label, {})
    mean, deviation = distribution.moments if distribution else (math.nan, math.nan)
    if distribution is None or not math.isfinite(mean):
        return _Estimate(math.nan, 0)
    return _Estimate(mean, distribution.present, deviation if math.isfinite(deviation) else 0.0)


def _count_labels(profile: PartitionProfile, key: str, label: str) -> tuple[int, int, int]:
    """Positives, nulls and rows of a label; zeros for one that the profile does not have."""
    block = profile.blocks.get(key)
    if block is None or label not in block.labels:
        return 0, 0, 0
    position, stats = block.labels.index(label), block.stats
    return int(stats.ones[position]), int(stats.missing[position]), int(stats.rows[position])


def _row_levels(
    days: dict[str, PartitionProfile], usual_days: dict[str, PartitionProfile], config: DriftConfig
) -> Iterator[Level]:
    usual = sorted(day.rows for day in usual_days.values() if day.rows)
    if not usual:
        return
    factor = 1.0 + config.max_rows_change
    for name, day in days.items():
        noise = metrics.DEVIATIONS * math.sqrt(usual[0])
        lowest = min(usual[0] / factor, usual[0] - noise)
        highest = max(usual[-1] * factor, usual[-1] + noise)
        yield Level(name, "", day.rows, float(usual[len(usual) // 2]), lowest, highest)
