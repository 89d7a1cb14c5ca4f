"""The page's failures by subject: what is wrong, what to do, the column beside its reference, example rows."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.common.html.charts import Chart
from components.common.html.tables import Table
from components.validate.profile.columns import Block
from components.validate.profile.profile import Profile
from components.validate.report.distributions import Columns, draw_column
from components.validate.result import DRIFT_RULES, ComparisonKind, Result, ValidationResult

MAX_SUBJECTS = 200
_MAX_CHARTS = 40
_MAX_DAYS = 5


@dataclass(frozen=True)
class FailedSubject:
    """A column, task, file or partition that fails, its failures, the most severe first, and its chart."""

    name: str
    severity: str
    results: list[Result]
    days: str
    chart: Chart | None
    examples: Table | None


@dataclass(frozen=True)
class Comparisons:
    """What the columns of failures are drawn beside: by kind, the reference's name and its columns."""

    profile: Profile
    blocks: list[Block]
    window: Columns
    references: dict[ComparisonKind, tuple[str, Columns]]

    def draw(self, results: list[Result]) -> Chart | None:
        """The column of some failures on the days that they are of, beside the reference's or the other days'."""
        subject = results[0].subject
        column = self.window.find(subject.removeprefix("column "))
        if not subject.startswith("column ") or column is None:
            return None
        label = column[0]
        days = frozenset(day for result in results for day in result.days)
        covered = {name.partition("/")[0].removeprefix("date=") for name in self.profile.partitions}
        is_part = bool(days) and days < covered
        now = Columns(self.profile, self.blocks, days).find(label) if is_part else column
        name, beside = self._choose_reference(results, days if is_part else frozenset(), covered)
        other = beside.find(label) if beside is not None else None
        if now is None:
            return None
        title = f"{label}, {_name_days(sorted(days))}" if is_part else label
        return draw_column(title, now[1], (name, other[1]) if other is not None else None)

    def _choose_reference(
        self, results: list[Result], days: frozenset[str], covered: set[str]
    ) -> tuple[str, Columns | None]:
        rules = {result.rule for result in results}
        for kind, reference in self.references.items():
            if rules.intersection(DRIFT_RULES[kind]):
                return reference
        if days:
            return "the other days", Columns(self.profile, self.blocks, frozenset(covered - days))
        return next(iter(self.references.values()), ("", None))


def list_failures(result: ValidationResult, comparisons: Comparisons) -> Iterator[FailedSubject]:
    """The subjects that fail, those with critical failures first."""
    by_subject: dict[str, list[Result]] = {}
    for failure in [*result.failures("critical"), *result.failures("warning")]:
        by_subject.setdefault(failure.subject, []).append(failure)
    for number, (subject, results) in enumerate(list(by_subject.items())[:MAX_SUBJECTS]):
        days = sorted({day for failure in results for day in failure.days})
        examples = next((failure.examples for failure in results if failure.examples), [])
        yield FailedSubject(
            subject,
            results[0].severity,
            results,
            _name_days(days),
            comparisons.draw(results) if number < _MAX_CHARTS else None,
            Table(list(examples[0]), [list(example.values()) for example in examples]) if examples else None,
        )


def count_subjects(result: ValidationResult) -> int:
    """How many subjects fail."""
    return len({item.subject for item in result.results if not item.success})


def _name_days(days: list[str]) -> str:
    more = f" and {len(days) - _MAX_DAYS} more days" if len(days) > _MAX_DAYS else ""
    return ", ".join(days[:_MAX_DAYS]) + more
