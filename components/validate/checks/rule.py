"""The interface of a rule: facts of a log, a figure of each with its bounds, and the text of a failure."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import pyarrow as pa

from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.column_scores import ColumnScore, score_columns
from components.validate.drift.compare import Comparison
from components.validate.profile.columns import FEATURE_ROLES, Block, list_blocks
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.result import ComparisonKind
from recap_model.config import RecapConfig
from recap_model.config.steps.drift import Severity
from recap_model.config.steps.validation import ColumnBounds

if TYPE_CHECKING:
    from components.validate.checks.great_expectations import Expectation

# Chance alone moves a rate by its standard error; four of them happen once in 16,000 partitions.
NOISE_DEVIATIONS = 4.0


@dataclass(frozen=True)
class CheckedLog:
    """The input of rules: a log's profile, its files, its config, and its comparisons.

    Attributes:
        unread: partitions with a file that cannot be read.
        comparisons: by kind, the reference's name and the comparison with it.
        sample: the sampled rows.
    """

    profile: Profile
    snapshot: Snapshot
    config: RecapConfig
    unread: frozenset[str] = frozenset()
    comparisons: dict[ComparisonKind, tuple[str, Comparison]] = field(default_factory=dict)
    sample: pa.Table | None = None

    @cached_property
    def window(self) -> PartitionProfile:
        """All partitions merged."""
        return self.profile.window()

    @cached_property
    def blocks(self) -> list[Block]:
        """Every column that a later step reads, by role."""
        return list_blocks(self.config)

    @property
    def roles(self) -> set[str]:
        """The roles that the config gives to columns."""
        return {block.role for block in self.blocks}

    @property
    def feature_blocks(self) -> list[Block]:
        """The blocks of features that the profile has."""
        return [
            block for block in self.blocks if block.role in FEATURE_ROLES and block.key in self.window.blocks
        ]

    @cached_property
    def column_scores(self) -> list[ColumnScore]:
        """How well each feature column alone tells each task's positives from its negatives."""
        least = self.config.validation.min_leak_positives
        return score_columns(self.sample, self.feature_blocks, self.config, least)

    @property
    def sample_in_words(self) -> str:
        """The sampled rows."""
        rows = 0 if self.sample is None else len(self.sample)
        return "all rows" if rows == self.snapshot.rows else f"a sample of {rows:,} rows"

    @property
    def days_in_words(self) -> str:
        """The window's first and last day."""
        return f"{self.snapshot.first_day} to {self.snapshot.last_day}"

    def describe_bound(self, text: str, bound: str) -> str:
        """A bound's text with its value, and its field, as ``at most 0.1% (validation.max_disordered_rate)``.

        Args:
            text: with a place for the value, as ``at most {:.1%}``.
            bound: the field under `validation`.
        """
        return f"{text.format(getattr(self.config.validation, bound))} (validation.{bound})"

    def bounds_of(self, column: str) -> ColumnBounds:
        """The bounds that the config gives to a feature column."""
        return self.config.validation.columns.get(column, ColumnBounds())


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What a figure describes. Failures with one ``subject`` make one line.

    Attributes:
        label: the position's name, where a column has several.
        partition: empty for the window.
    """

    subject: str
    label: str = ""
    partition: str = ""

    @property
    def location(self) -> str:
        """The partition or day that it is about, as ``date=2026-03-01``; another text if it is about the window."""
        return self.partition or self.subject


class Figure(NamedTuple):
    """A value and its bounds, which are inclusive; NaN is outside."""

    value: float
    lowest: float = -math.inf
    highest: float = math.inf

    @property
    def distance(self) -> float:
        """How far the value is outside its bounds."""
        if self.lowest <= self.value <= self.highest:
            return 0.0
        distance = max(self.lowest - self.value, self.value - self.highest)
        return math.inf if math.isnan(distance) else distance


class FailureText(NamedTuple):
    """The text of a failure: subject and observation, where, what is allowed, what to do."""

    subject: str
    observed: str
    where: str
    allowed: str
    advice: str


F = TypeVar("F", bound=Fact)


class Rule(ABC, Generic[F]):
    """One rule: its facts, their bounds, the text of a failure, and which rows of the log break it.

    The class's docstring describes it in the expectation suite. ``bounds`` names the config's fields under
    `validation` that bound it. A failure suppresses those of the rules that it ``implies`` for the same subject.
    """

    name: str
    severity: Severity
    bounds: Sequence[str] = ()
    implies: Sequence[str] = ()

    @property
    def description(self) -> str:
        """One sentence for the expectation suite."""
        return (self.__doc__ or "").strip().splitlines()[0]

    def severity_in(self, config: RecapConfig) -> Severity:
        """The severity in a config."""
        chosen: dict[str, Severity] = dict(config.validation.severity.items())
        return chosen.get(self.name, self.severity)

    def applies(self, log: CheckedLog) -> bool:
        """Whether the config names anything that the rule checks."""
        return True

    @abstractmethod
    def facts(self, log: CheckedLog) -> Iterable[F]:
        """The facts that the rule checks."""

    @abstractmethod
    def figure(self, fact: F, log: CheckedLog) -> Figure:
        """A fact's value and its bounds."""

    @abstractmethod
    def describe(self, fact: F, log: CheckedLog) -> FailureText:
        """Describe a fact that is outside its bounds."""

    def columns(self, fact: F) -> list[str]:
        """The log's columns that `row_expectations` are about."""
        return [fact.subject]

    def row_expectations(self, fact: F, log: CheckedLog) -> "list[Expectation]":
        """Expectations that a row must meet; empty if no single row breaks the rule."""
        return []


def describe_number(value: float, digits: int = 4) -> str:
    """A number with a given number of significant digits, large ones without an exponent.

    >>> describe_number(99_999.0), describe_number(51_650.3), describe_number(0.012345)
    ('99,999', '51,650', '0.01235')
    """
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.{digits}g}"


def rate_noise(rate: float, rows: int) -> float:
    """Four standard errors of a rate over some rows."""
    return NOISE_DEVIATIONS * math.sqrt(rate * (1.0 - rate) / rows) if rows else math.inf
