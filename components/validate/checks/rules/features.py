"""Rules about feature columns: presence, missing and non-finite values, range, spread, embedding norms."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from components.validate.checks.great_expectations import Expectation, between, not_null, zero_or_one
from components.validate.checks.rule import (
    CheckedLog,
    F,
    Fact,
    FailureText,
    Figure,
    Rule,
    describe_number,
)
from components.validate.checks.rules.feature_facts import (
    Feature,
    FeaturePartition,
    read_feature_partitions,
    read_features,
)
from components.validate.profile.columns import FEATURE_ROLES
from components.validate.profile.statistics import compute_mean, fraction

_LARGEST = 1.7976931348623157e308
_MISSING_DRIFT = ("missing_rate_drift", "missing_rate_skew")
_VALUE_DRIFT = ("column_drift", "column_skew")


class _ColumnRule(Rule[F]):
    """A rule about feature columns."""

    def applies(self, log: CheckedLog) -> bool:
        return any(block.role in FEATURE_ROLES for block in log.blocks)


class _FeatureRule(_ColumnRule[Feature]):
    """A rule about each position of a feature column over the window."""

    def facts(self, log: CheckedLog) -> Iterator[Feature]:
        return read_features(log)


class FeatureMissing(_ColumnRule[Feature | FeaturePartition]):
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

    def facts(self, log: CheckedLog) -> Iterator[Feature | FeaturePartition]:
        yield from read_features(log)
        yield from read_feature_partitions(log)

    def figure(self, fact: Feature | FeaturePartition, log: CheckedLog) -> Figure:
        required = fact.must_be_present if isinstance(fact, FeaturePartition) else True
        return Figure(fact.present, lowest=int(required))

    def describe(self, fact: Feature | FeaturePartition, log: CheckedLog) -> FailureText:
        observed = f"has no value in any of {fact.rows:,} rows"
        where = fact.partition or log.days_in_words
        advice = "fix the log, or remove the column from `features`"
        return FailureText(f"column {fact.label}", observed, where, "a feature has values", advice)

    def row_expectations(self, fact: Feature | FeaturePartition, log: CheckedLog) -> list[Expectation]:
        return [not_null(fact.subject)]


class _RateRule(_FeatureRule):
    """A rule about the fraction of a feature column's values of some kind.

    Its bound may be given for a column alone.
    """

    kind: str

    @abstractmethod
    def count(self, fact: Feature) -> int:
        """The values of the kind."""

    def figure(self, fact: Feature, log: CheckedLog) -> Figure:
        return Figure(fraction(self.count(fact), fact.rows), highest=self._highest(fact, log))

    def describe(self, fact: Feature, log: CheckedLog) -> FailureText:
        (bound,) = self.bounds
        observed = f"has {fraction(self.count(fact), fact.rows):.1%} {self.kind} values"
        allowed = f"at most {self._highest(fact, log):.1%} (validation.{bound})"
        advice = f"fix the log, or allow more in validation.columns.{fact.subject}.{bound}"
        return FailureText(f"column {fact.label}", observed, log.days_in_words, allowed, advice)

    def _highest(self, fact: Feature, log: CheckedLog) -> float:
        (bound,) = self.bounds
        of_column: float | None = getattr(log.bounds_of(fact.subject), bound)
        of_all: float = getattr(log.config.validation, bound)
        return of_all if of_column is None else of_column


class FeatureNullRate(_RateRule):
    """A feature column is missing in few of the window's rows."""

    name, severity, kind = "feature_null_rate", "critical", "missing"
    bounds = ("max_null_rate",)
    implies = ("feature_non_finite_rate", *_MISSING_DRIFT)

    def count(self, fact: Feature) -> int:
        return fact.missing

    def row_expectations(self, fact: Feature, log: CheckedLog) -> list[Expectation]:
        return [not_null(fact.subject)]


class FeatureNonFiniteRate(_RateRule):
    """A feature column is NaN or infinite in few of the window's rows."""

    name, severity, kind = "feature_non_finite_rate", "warning", "NaN or infinite"
    bounds = ("max_non_finite_rate",)

    def count(self, fact: Feature) -> int:
        return fact.non_finite

    def row_expectations(self, fact: Feature, log: CheckedLog) -> list[Expectation]:
        return [not_null(fact.subject), between(fact.subject, -_LARGEST, _LARGEST)]


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

    def row_expectations(self, fact: Feature, log: CheckedLog) -> list[Expectation]:
        bounds = log.bounds_of(fact.subject)
        return [between(fact.subject, bounds.min, bounds.max)]

    @staticmethod
    def _bounds(fact: Feature, log: CheckedLog) -> tuple[float, float]:
        bounds = log.bounds_of(fact.subject)
        lowest = -math.inf if bounds.min is None else bounds.min
        return lowest, math.inf if bounds.max is None else bounds.max


class FeatureNullRateChange(_ColumnRule[FeaturePartition]):
    """A feature column's fraction of missing values in a partition is near the window's, but for chance."""

    name, severity = "feature_null_rate_change", "warning"
    bounds = ("max_null_rate_change",)

    def facts(self, log: CheckedLog) -> Iterator[FeaturePartition]:
        return read_feature_partitions(log)

    def figure(self, fact: FeaturePartition, log: CheckedLog) -> Figure:
        slack = log.config.validation.max_null_rate_change + fact.noise
        return Figure(fact.null_rate, fact.window_null_rate - slack, fact.window_null_rate + slack)

    def describe(self, fact: FeaturePartition, log: CheckedLog) -> FailureText:
        observed = f"has {fact.null_rate:.1%} missing values, the window {fact.window_null_rate:.1%},"
        allowed = log.describe_bound("a change of {:.0%} and chance", "max_null_rate_change")
        return FailureText(
            f"column {fact.label}", observed, fact.partition, allowed, "look at the partition's source"
        )

    def row_expectations(self, fact: FeaturePartition, log: CheckedLog) -> list[Expectation]:
        return [not_null(fact.subject)]


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

    def row_expectations(self, fact: Feature, log: CheckedLog) -> list[Expectation]:
        return [zero_or_one(fact.subject)]


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


@dataclass(frozen=True, kw_only=True)
class EmbeddingPartition(Fact):
    """An embedding's mean norm in a partition, and over the window."""

    norm: float
    window_norm: float


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
        allowed = log.describe_bound("a change of {:.0%}", "max_norm_change")
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
