"""A profile beside a reference's: its columns, tasks and days, over the window and on each whole day."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from components.validate.drift import metrics
from components.validate.drift.column import BASELINE_SPREAD, Change, Column
from components.validate.drift.effective_rows import Correlations, effective_fraction
from components.validate.drift.reference import Reference
from components.validate.drift.sample import Sample
from components.validate.profile.columns import FEATURE_ROLES, blocks_of
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.statistics import Stats
from recap_model.config import RecapConfig
from recap_model.config.steps.drift import DriftConfig

WINDOW = "the window"
_HOURS = 24


@dataclass(frozen=True)
class Level:
    """A figure of a task or of a day beside the reference's, and the bounds between which it may be."""

    subject: str
    where: str
    value: float
    usual: float
    lowest: float
    highest: float


@dataclass
class Comparison:
    """What was found: each position's change over the window and by day, tasks' rates, rows of days.

    ``nulls`` are the shares of rows without a task's label, ``new`` the columns that the reference does not have.
    """

    changes: list[Change] = field(default_factory=list)
    rates: list[Level] = field(default_factory=list)
    nulls: list[Level] = field(default_factory=list)
    rows: list[Level] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Drift:
    """A comparison with a reference of some name; without one, the reason."""

    against: str
    reason: str = ""
    found: Comparison | None = None

    def worst(self) -> list[Change]:
        """Each position where it is furthest from the reference; the furthest first."""
        by_column: dict[str, Change] = {}
        for change in self.found.changes if self.found else ():
            other = by_column.get(change.column)
            if other is None or change.furthest > other.furthest:
                by_column[change.column] = change
        return sorted(by_column.values(), key=lambda change: change.furthest, reverse=True)


def drift_of(
    kind: str, reference: Reference, profile: Profile, correlations: Correlations, config: RecapConfig
) -> Drift:
    """Compare a profile with a reference, if there is one."""
    if reference.profile is None:
        return Drift(reference.name, reference.reason)
    found = compare(profile, reference.profile, correlations, config, by_day=kind == "drift")
    if not found.changes:
        return Drift(reference.name, "it has no feature column in common with the log")
    return Drift(reference.name, found=found)


def compare(
    current: Profile,
    reference: Profile,
    correlations: Correlations,
    config: RecapConfig,
    *,
    by_day: bool = True,
) -> Comparison:
    """Every feature column and task of two profiles.

    Args:
        correlations: of the rows of one id in each column, for what chance explains.
        by_day: the reference is of days as these are, so that days, rates and numbers of rows are compared, too.
    """
    now, then = current.window(), reference.window()
    days, usual_days = (_whole_days(current), _whole_days(reference)) if by_day else ({}, {})
    comparison = Comparison()
    for block in blocks_of(config):
        if block.role not in (*FEATURE_ROLES, "weight") or block.key not in now.blocks:
            continue
        for place, label in enumerate(block.labels):
            source = block.columns[0] if block.list_width is not None else block.columns[place]
            if source in config.validation.drift.ignore:
                continue
            alike = correlations.get(label, {})
            whole = Sample.of(then, block.key, label, alike)
            if whole is None or not whole.rows:
                comparison.new.append(label)
                continue
            own = [Sample.of(day, block.key, label, alike) for day in usual_days.values()]
            days_of_column = [day for day in own if day is not None and day.rows]
            column = Column(block, label, source, whole, days_of_column, config.validation.drift)
            for name, part in {WINDOW: now, **days}.items():
                sample = Sample.of(part, block.key, label, alike)
                if sample is not None and sample.rows:
                    comparison.changes.append(column.change(sample, name))
    if by_day:
        parts, bounds = {WINDOW: now, **days}, config.validation.drift
        for task, label in config.label_columns().items():
            alike = correlations.get(label, {})
            rates = _Rates(task, label, then, list(usual_days.values()), alike)
            comparison.rates += rates.levels(parts, _positives, relative=bounds.max_positive_rate_change)
            comparison.nulls += rates.levels(parts, _nulls, absolute=bounds.max_missing_rate_change)
        comparison.rows += _rows(days, usual_days, config.validation.drift)
    return comparison


def _whole_days(profile: Profile) -> dict[str, PartitionProfile]:
    """Partitions by day; of a log by the hour, days with all their hours."""
    days: dict[str, list[PartitionProfile]] = {}
    hourly = any("/" in name for name in profile.partitions)
    for name, part in profile.partitions.items():
        days.setdefault(name.partition("/")[0], []).append(part)
    return {
        day: sum(parts, PartitionProfile())
        for day, parts in sorted(days.items())
        if not hourly or len(parts) == _HOURS
    }


@dataclass(frozen=True)
class _Rates:
    """A task's label column in the reference and on its days."""

    task: str
    column: str
    then: PartitionProfile
    days: list[PartitionProfile]
    alike: dict[str, float]

    def levels(
        self,
        parts: dict[str, PartitionProfile],
        share_in: Callable[[PartitionProfile, str], tuple[float, int]],
        *,
        relative: float = 0.0,
        absolute: float = 0.0,
    ) -> Iterator[Level]:
        """A share in each part that has rows for it; a change may be of so much of the share, or so much in all."""
        usual, of_rows = share_in(self.then, self.column)
        if not of_rows:
            return
        usual_alone = of_rows * effective_fraction(self.then, self.alike)
        own = [share_in(day, self.column)[0] for day in self.days]
        apart = max((abs(share - usual) for share in own if math.isfinite(share)), default=0.0)
        habit = BASELINE_SPREAD * apart if len(own) > 1 else 0.0
        for where, part in parts.items():
            share, rows = share_in(part, self.column)
            if rows:
                alone = rows * effective_fraction(part, self.alike)
                chance = metrics.rate_noise(usual, usual_alone, share, alone)
                slack = max(relative * usual + absolute, habit, chance)
                yield Level(self.task, where, share, usual, usual - slack, usual + slack)


def _positives(part: PartitionProfile, column: str) -> tuple[float, int]:
    """The share of positives, and of how many labels."""
    ones, missing, rows = _counts(part, column)
    return (ones / (rows - missing) if rows > missing else math.nan), rows - missing


def _nulls(part: PartitionProfile, column: str) -> tuple[float, int]:
    """The share of rows without a label, and of how many rows."""
    _, missing, rows = _counts(part, column)
    return (missing / rows if rows else math.nan), rows


def _counts(part: PartitionProfile, column: str) -> tuple[int, int, int]:
    """Positives, nulls and rows of a label column; none of one that is not there."""
    block = part.blocks.get("label")
    if block is None or column not in block.labels:
        return 0, 0, 0
    stats: Stats = block.stats
    place = block.labels.index(column)
    return int(stats.ones[place]), int(stats.missing[place]), int(stats.rows[place])


def _rows(
    days: dict[str, PartitionProfile], usual_days: dict[str, PartitionProfile], config: DriftConfig
) -> Iterator[Level]:
    usual = sorted(day.rows for day in usual_days.values() if day.rows)
    if not usual:
        return
    factor = 1.0 + config.max_rows_change
    for name, day in days.items():
        chance = metrics.DEVIATIONS * math.sqrt(usual[0])
        lowest = min(usual[0] / factor, usual[0] - chance)
        highest = max(usual[-1] * factor, usual[-1] + chance)
        yield Level(name, "", day.rows, float(usual[len(usual) // 2]), lowest, highest)
