"""Rules about feature columns: presence, missing and non-finite values, range, spread, embedding norms."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.validate.checks.great_expectations import Expectation, between, not_null, zero_or_one
from components.validate.checks.rule import (
    NOISE_DEVIATIONS,
    CheckedLog,
    Fact,
    FailureText,
    Figure,
    Rule,
    describe_number,
)
from components.validate.profile.columns import FEATURE_ROLES
from components.validate.profile.statistics import compute_mean, fraction

_IMPOSSIBLE = 1e-6
_LARGEST = 1.7976931348623157e308
_SMALLEST = 5e-324
_MISSING_DRIFT = ("missing_rate_drift", "missing_rate_skew")
_VALUE_DRIFT = ("column_drift", "column_skew")


@dataclass(frozen=True, kw_only=True)
class Feature(Fact):
    """One position of a feature column over the window; ``subject`` is the column.

    Attributes:
        missing: null, NaN, the unknown id, an embedding of zeros.
        present: finite values that are not missing.
        outside: of a binary column, values that are neither 0 nor 1.
        is_any_id: values may be hashes of text, which are not shown as numbers.
    """

    role: str
    is_any_id: bool
    rows: int
    missing: int
    present: int
    non_finite: int
    outside: int
    minimum: float
    maximum: float


@dataclass(frozen=True, kw_only=True)
class FeaturePartition(Fact):
    """One position of a feature column in a partition.

    Attributes:
        must_be_present: chance does not explain that no row of the partition has a value.
        noise: what chance makes of the fraction of missing values.
    """

    rows: int
    present: int
    null_rate: float
    window_null_rate: float
    must_be_present: bool
    noise: float


@dataclass(frozen=True, kw_only=True)
class EmbeddingPartition(Fact):
    """An embedding's mean norm in a partition, and over the window."""

    norm: float
    window_norm: float


def _features(log: CheckedLog) -> Iterator[Feature]:
    for block in log.feature_blocks:
        stats = log.window.blocks[block.key].stats
        for position, (label, column) in enumerate(zip(block.labels, block.sources, strict=True)):
            yield Feature(
                subject=column,
                label=label,
                role=block.role,
                is_any_id=block.any_id(position),
                rows=int(stats.rows[position]),
                missing=int(stats.missing[position]),
                present=int(stats.finite[position] - stats.unknown[position]),
                non_finite=int(stats.nans[position] + stats.infinities[position]),
                outside=int(stats.outside[position]),
                minimum=float(stats.minimum[position]),
                maximum=float(stats.maximum[position]),
            )


def _feature_partitions(log: CheckedLog) -> Iterator[FeaturePartition]:
    for name, partition in log.profile.partitions.items():
        for block in log.feature_blocks:
            if block.key not in partition.blocks:
                continue
            stats, window = partition.blocks[block.key].stats, log.window.blocks[block.key].stats
            rows = np.maximum(stats.rows, 1)
            usual = window.missing / np.maximum(window.rows, 1)
            absent = 1.0 - (window.finite - window.unknown) / np.maximum(window.rows, 1)
            noise = NOISE_DEVIATIONS * np.sqrt(usual * (1.0 - usual) / rows)
            required = (stats.rows > 0) & (absent**stats.rows < _IMPOSSIBLE)
            for position, (label, column) in enumerate(zip(block.labels, block.sources, strict=True)):
                yield FeaturePartition(
                    subject=column,
                    label=label,
                    partition=name,
                    rows=int(stats.rows[position]),
                    present=int(stats.finite[position] - stats.unknown[position]),
                    null_rate=float(stats.missing[position] / rows[position]),
                    window_null_rate=float(usual[position]),
                    must_be_present=bool(required[position]),
                    noise=float(noise[position]),
                )


class _FeatureRule(Rule[Feature]):
    """A rule about each position of a feature column over the window."""

    def applies(self, log: CheckedLog) -> bool:
        return _has_features(log)

    def facts(self, log: CheckedLog) -> Iterator[Feature]:
        return _features(log)

    def columns(self, fact: Feature, log: CheckedLog) -> list[str]:
        return [fact.subject]


class _PartitionRule(Rule[FeaturePartition]):
    """A rule about each position of a feature column in each partition."""

    def applies(self, log: CheckedLog) -> bool:
        return _has_features(log)

    def facts(self, log: CheckedLog) -> Iterator[FeaturePartition]:
        return _feature_partitions(log)

    def columns(self, fact: FeaturePartition, log: CheckedLog) -> list[str]:
        return [fact.subject]

    def row_expectations(self, columns: list[str], log: CheckedLog) -> list[Expectation]:
        return [not_null(columns[0])]


def _has_features(log: CheckedLog) -> bool:
    return any(block.role in FEATURE_ROLES for block in log.blocks)


class FeatureMissing(Rule[Feature | FeaturePartition]):
    """A feature column has values in the window and in every partition, unless chance explains their absence."""

    name, severity = "feature_missing", "critical"
    implies = (
        "feature_null_rate",
        "feature_null_rate_change",
        "feature_non_finite_rate",
        "feature_constant",
        "embedding_norm_change",
        *_MISSING_DRIFT,
        *_VALUE_DRIFT,
    )

    def applies(self, log: CheckedLog) -> bool:
        return _has_features(log)

    def facts(self, log: CheckedLog) -> Iterator[Feature | FeaturePartition]:
        yield from _features(log)
        yield from _feature_partitions(log)

    def figure(self, fact: Feature | FeaturePartition, log: CheckedLog) -> Figure:
        required = fact.must_be_present if isinstance(fact, FeaturePartition) else True
        return Figure(fact.present, lowest=int(required))

    def describe(self, fact: Feature | FeaturePartition, log: CheckedLog) -> FailureText:
        observed = f"has no value in any of {fact.rows:,} rows"
        where = fact.partition or log.days_in_words
        advice = "fix the log, or remove the column from `features`"
        return FailureText(f"column {fact.label}", observed, where, "a feature has values", advice)

    def columns(self, fact: Feature | FeaturePartition, log: CheckedLog) -> list[str]:
        return [fact.subject]

    def row_expectations(self, columns: list[str], log: CheckedLog) -> list[Expectation]:
        return [not_null(columns[0])]


class FeatureNullRate(_FeatureRule):
    """A feature column is missing in few of the window's rows."""

    name, severity = "feature_null_rate", "critical"
    bounds = ("max_null_rate",)
    implies = ("feature_non_finite_rate", *_MISSING_DRIFT)

    def figure(self, fact: Feature, log: CheckedLog) -> Figure:
        return Figure(fraction(fact.missing, fact.rows), highest=self._highest(fact, log))

    def describe(self, fact: Feature, log: CheckedLog) -> FailureText:
        observed = f"has {fraction(fact.missing, fact.rows):.1%} missing values"
        allowed = f"at most {self._highest(fact, log):.1%} (validation.max_null_rate)"
        advice = f"fix the log, or allow more in validation.columns.{fact.subject}.max_null_rate"
        return FailureText(f"column {fact.label}", observed, log.days_in_words, allowed, advice)

    def row_expectations(self, columns: list[str], log: CheckedLog) -> list[Expectation]:
        return [not_null(columns[0])]

    def _highest(self, fact: Feature, log: CheckedLog) -> float:
        highest = log.bounds_of(fact.subject).max_null_rate
        return log.config.validation.max_null_rate if highest is None else highest


class FeatureRange(_FeatureRule):
    """A feature column's finite values lie within the column's own bounds."""

    name, severity = "feature_range", "critical"
    bounds = ("columns",)

    def figure(self, fact: Feature, log: CheckedLog) -> Figure:
        lowest, highest = self._bounds(fact, log)
        # Without a finite value the minimum is inf and the maximum -inf.
        ends = Figure(fact.minimum, lowest=lowest), Figure(fact.maximum, highest=highest)
        return max(ends, key=lambda figure: figure.distance)

    def describe(self, fact: Feature, log: CheckedLog) -> FailureText:
        lowest, highest = self._bounds(fact, log)
        value = self.figure(fact, log).value
        observed = f"has value {describe_number(value, 6)}"
        if fact.is_any_id:
            observed = f"has an id {'below' if value < lowest else 'above'} it"
        if value < lowest:
            allowed = f"at least {describe_number(lowest, 6)} (validation.columns.{fact.subject}.min)"
            advice = "fix the log, or lower the bound"
        else:
            allowed = f"at most {describe_number(highest, 6)} (validation.columns.{fact.subject}.max)"
            advice = "fix the log, or raise the bound"
        return FailureText(f"column {fact.label}", observed, log.days_in_words, allowed, advice)

    def row_expectations(self, columns: list[str], log: CheckedLog) -> list[Expectation]:
        bounds = log.bounds_of(columns[0])
        return [between(columns[0], bounds.min, bounds.max)]

    @staticmethod
    def _bounds(fact: Feature, log: CheckedLog) -> tuple[float, float]:
        bounds = log.bounds_of(fact.subject)
        lowest = -math.inf if bounds.min is None else bounds.min
        return lowest, math.inf if bounds.max is None else bounds.max


class FeatureNonFiniteRate(_FeatureRule):
    """A feature column is NaN or infinite in few of the window's rows."""

    name, severity = "feature_non_finite_rate", "warning"
    bounds = ("max_non_finite_rate",)

    def figure(self, fact: Feature, log: CheckedLog) -> Figure:
        return Figure(fraction(fact.non_finite, fact.rows), highest=self._highest(fact, log))

    def describe(self, fact: Feature, log: CheckedLog) -> FailureText:
        observed = f"has {fraction(fact.non_finite, fact.rows):.1%} NaN or infinite values"
        allowed = f"at most {self._highest(fact, log):.1%} (validation.max_non_finite_rate)"
        advice = f"fix the log, or allow more in validation.columns.{fact.subject}.max_non_finite_rate"
        return FailureText(f"column {fact.label}", observed, log.days_in_words, allowed, advice)

    def row_expectations(self, columns: list[str], log: CheckedLog) -> list[Expectation]:
        return [not_null(columns[0]), between(columns[0], -_LARGEST, _LARGEST)]

    def _highest(self, fact: Feature, log: CheckedLog) -> float:
        highest = log.bounds_of(fact.subject).max_non_finite_rate
        return log.config.validation.max_non_finite_rate if highest is None else highest


class FeatureNullRateChange(_PartitionRule):
    """A feature column's fraction of missing values in a partition is near the window's, but for chance."""

    name, severity = "feature_null_rate_change", "warning"
    bounds = ("max_null_rate_change",)

    def figure(self, fact: FeaturePartition, log: CheckedLog) -> Figure:
        slack = log.config.validation.max_null_rate_change + fact.noise
        return Figure(fact.null_rate, fact.window_null_rate - slack, fact.window_null_rate + slack)

    def describe(self, fact: FeaturePartition, log: CheckedLog) -> FailureText:
        observed = f"has {fact.null_rate:.1%} missing values, the window {fact.window_null_rate:.1%},"
        change = log.config.validation.max_null_rate_change
        allowed = f"a change of {change:.0%} and chance (validation.max_null_rate_change)"
        return FailureText(
            f"column {fact.label}", observed, fact.partition, allowed, "look at the partition's source"
        )


class BinaryValues(_FeatureRule):
    """A binary feature is 0, 1 or null."""

    name, severity = "binary_values", "warning"
    implies = _VALUE_DRIFT

    def figure(self, fact: Feature, log: CheckedLog) -> Figure:
        return Figure(fact.outside if fact.role == "binary" else 0, highest=0)

    def describe(self, fact: Feature, log: CheckedLog) -> FailureText:
        observed = f"has {fact.outside:,} values that are neither 0 nor 1"
        allowed, advice = "a binary feature is 0, 1 or null", "move it to features.continuous"
        return FailureText(f"column {fact.label}", observed, log.days_in_words, allowed, advice)

    def row_expectations(self, columns: list[str], log: CheckedLog) -> list[Expectation]:
        return [zero_or_one(columns[0])]


class FeatureConstant(_FeatureRule):
    """A feature column that is never missing varies over the window's rows."""

    name, severity = "feature_constant", "warning"
    implies = _VALUE_DRIFT

    def figure(self, fact: Feature, log: CheckedLog) -> Figure:
        varies = fact.present < fact.rows or fact.rows < 2 or fact.maximum > fact.minimum
        return Figure(float(varies), lowest=1.0)

    def describe(self, fact: Feature, log: CheckedLog) -> FailureText:
        value = "the same id" if fact.is_any_id else f"the value {describe_number(fact.minimum, 6)}"
        observed = f"has {value} in all {fact.rows:,} rows"
        advice = "look at its source: it tells the model nothing"
        return FailureText(f"column {fact.label}", observed, log.days_in_words, "a feature varies", advice)


class EmbeddingNormChange(Rule[EmbeddingPartition]):
    """An embedding's mean norm in a partition is near the window's."""

    name, severity = "embedding_norm_change", "warning"
    bounds = ("max_norm_change",)

    def applies(self, log: CheckedLog) -> bool:
        return "embedding" in log.roles

    def facts(self, log: CheckedLog) -> Iterator[EmbeddingPartition]:
        for block in (block for block in log.feature_blocks if block.role == "embedding"):
            usual = compute_mean(log.window.blocks[block.key].stats, 0)
            for name, partition in log.profile.partitions.items():
                norm = (
                    compute_mean(partition.blocks[block.key].stats, 0)
                    if block.key in partition.blocks
                    else math.nan
                )
                if math.isfinite(norm) and math.isfinite(usual):
                    column = block.columns[0]
                    yield EmbeddingPartition(
                        subject=column, label=column, partition=name, norm=norm, window_norm=usual
                    )

    def figure(self, fact: EmbeddingPartition, log: CheckedLog) -> Figure:
        slack = fact.window_norm * log.config.validation.max_norm_change
        return Figure(fact.norm, fact.window_norm - slack, fact.window_norm + slack)

    def describe(self, fact: EmbeddingPartition, log: CheckedLog) -> FailureText:
        observed = f"has a mean norm of {describe_number(fact.norm)}, the window {describe_number(fact.window_norm)},"
        allowed = f"a change of {log.config.validation.max_norm_change:.0%} (validation.max_norm_change)"
        advice = "look whether the embedding was trained again"
        return FailureText(f"column {fact.subject}", observed, fact.partition, allowed, advice)


RULES: tuple[Rule[Feature] | Rule[FeaturePartition] | FeatureMissing | EmbeddingNormChange, ...] = (
    FeatureMissing(),
    FeatureNullRate(),
    FeatureRange(),
    FeatureNonFiniteRate(),
    FeatureNullRateChange(),
    BinaryValues(),
    FeatureConstant(),
    EmbeddingNormChange(),
)
