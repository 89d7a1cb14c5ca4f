"""What a rule is: figures of a log, the bounds they lie within, and words for those that do not."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from components.common.artifacts.snapshot import Snapshot
from components.validate.drift.compare import Comparison
from components.validate.profile.columns import FEATURE_ROLES, Block, blocks_of
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.result import Kind
from recap_model.config import RecapConfig
from recap_model.config.steps.drift import Severity
from recap_model.config.steps.validation import ColumnBounds

if TYPE_CHECKING:
    from components.validate.checks.great_expectations import Expectation

# Chance alone moves a rate by its standard error; four of them happen once in 16,000 partitions.
NOISE_DEVIATIONS = 4.0


@dataclass(frozen=True)
class CheckedLog:
    """What rules look at: a log's profile, its files, its config, and what it was compared with.

    Attributes:
        unread: partitions with a file that cannot be read.
        comparisons: with what it was compared, and what was found.
    """

    profile: Profile
    snapshot: Snapshot
    config: RecapConfig
    unread: frozenset[str] = frozenset()
    comparisons: dict[Kind, tuple[str, Comparison]] = field(default_factory=dict)

    @cached_property
    def window(self) -> PartitionProfile:
        """All partitions in one."""
        return self.profile.window()

    @cached_property
    def blocks(self) -> list[Block]:
        """Every column that a later step reads, by role."""
        return blocks_of(self.config)

    @property
    def roles(self) -> set[str]:
        """The roles that the config gives to columns."""
        return {block.role for block in self.blocks}

    @property
    def feature_blocks(self) -> list[Block]:
        """Of features that the profile has."""
        return [b for b in self.blocks if b.role in FEATURE_ROLES and b.key in self.window.blocks]

    @property
    def days_in_words(self) -> str:
        """The window's first and last day."""
        return f"{self.snapshot.first_day} to {self.snapshot.last_day}"

    def bounds_of(self, column: str) -> ColumnBounds:
        """A feature column's own bounds."""
        return self.config.validation.columns.get(column, ColumnBounds())


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What one figure is of. Failures of one ``about`` make one line.

    Attributes:
        label: the position's name, where a column has several.
        partition: empty for the window.
    """

    about: str
    label: str = ""
    partition: str = ""


class Figure(NamedTuple):
    """A figure, and the bounds that it lies within. NaN lies within none."""

    value: float
    lowest: float = -math.inf
    highest: float = math.inf

    @property
    def distance(self) -> float:
        """How far it is outside."""
        if self.lowest <= self.value <= self.highest:
            return 0.0
        distance = max(self.lowest - self.value, self.value - self.highest)
        return math.inf if math.isnan(distance) else distance


class Words(NamedTuple):
    """What is wrong: subject and observation, where, what is allowed, what to do."""

    subject: str
    observed: str
    where: str
    allowed: str
    advice: str


F = TypeVar("F", bound=Fact)


class Rule(ABC, Generic[F]):
    """One rule: what it looks at, its bounds, its words, and which rows of the log break it.

    The class's docstring describes it in the expectation suite. ``bounds`` names the config's fields under
    `validation` that bound it. A failure suppresses those of the rules that it ``implies`` for the same subject.
    """

    name: str
    severity: Severity
    bounds: Sequence[str] = ()
    implies: Sequence[str] = ()

    @property
    def description(self) -> str:
        """In one sentence."""
        return (self.__doc__ or "").strip().splitlines()[0]

    def severity_in(self, config: RecapConfig) -> Severity:
        """As the config has it."""
        chosen: dict[str, Severity] = dict(config.validation.severity.items())
        return chosen.get(self.name, self.severity)

    def applies(self, log: CheckedLog) -> bool:
        """Whether the config has anything that the rule is about."""
        return True

    @abstractmethod
    def facts(self, log: CheckedLog) -> Iterable[F]:
        """What the rule looks at."""

    @abstractmethod
    def figure(self, fact: F, log: CheckedLog) -> Figure:
        """A fact's figure, with its bounds."""

    @abstractmethod
    def words(self, fact: F, log: CheckedLog) -> Words:
        """For a fact outside its bounds."""

    def columns(self, fact: F, log: CheckedLog) -> list[str]:
        """The log's columns whose rows may break the rule."""
        return []

    def row_expectations(self, columns: list[str], log: CheckedLog) -> "list[Expectation]":
        """What a row that does not break the rule fulfils; nothing where no single row is at fault."""
        return []


def rate_noise(rate: float, rows: int) -> float:
    """What chance makes of a rate over some rows: four standard errors."""
    return NOISE_DEVIATIONS * math.sqrt(rate * (1.0 - rate) / rows) if rows else math.inf
