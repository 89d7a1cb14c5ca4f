"""Results of custom expectations: their lines, the rows they were checked on, examples from the sample."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from components.validate.checks.custom.expectations import CustomExpectation
from components.validate.checks.examples import MAX_EXAMPLES, build_frame, to_examples
from components.validate.checks.great_expectations import ExpectationResult, Validator, select_rows
from components.validate.profile.row_sample import FILE_COLUMN
from components.validate.profile.scan import Scan
from components.validate.result import Result
from recap_model.config import RecapConfig

_NOT_ARGUMENTS = ("column", "column_A", "column_B", "column_list", "batch_id")


@dataclass(frozen=True)
class Sample:
    """The sampled rows in the columns of expectations; None without a row."""

    frame: pd.DataFrame | None
    ids: list[str]

    @classmethod
    def build(cls, custom: list[CustomExpectation], scan: Scan, config: RecapConfig) -> "Sample":
        """Build the frame of the columns that the sample has."""
        if scan.sample is None or not len(scan.sample):
            return cls(None, [])
        present = scan.sample.schema.names
        columns = [name for item in custom for name in item.columns if name in present]
        frame = build_frame(scan.sample, list(dict.fromkeys(columns)), config)
        return cls(frame, [name for name in config.features.ids.model_dump().values() if name in present])

    @property
    def population(self) -> str:
        """The number of sampled rows, in words."""
        return f"a sample of {0 if self.frame is None else len(self.frame):,} rows"

    @cached_property
    def _validator(self) -> Validator:
        return Validator()

    def check(self, custom: list[CustomExpectation]) -> Iterator[tuple[CustomExpectation, ExpectationResult]]:
        """Check expectations on the sample, with the rows that fail; one whose columns it lacks has an error."""
        frame = self.frame
        known = [] if frame is None else [item for item in custom if set(item.columns) <= set(frame.columns)]
        for item in custom:
            if item not in known:
                yield item, ExpectationResult(False, 0, error="no row was sampled")
        if frame is not None and known:
            results = self._validator.evaluate(frame, [item.expectation for item in known])
            yield from zip(known, results, strict=True)

    def check_one(self, item: CustomExpectation) -> ExpectationResult:
        """Check one expectation on the sample, to find examples of rows that fail."""
        [(_, result)] = self.check([item])
        return result

    def select_examples(self, item: CustomExpectation, result: ExpectationResult) -> list[dict[str, Any]]:
        """Ids and values of the first sampled rows that fail, by their numbers."""
        if self.frame is None or not result.failing_rows:
            return []
        columns = self.frame[[*dict.fromkeys([*self.ids, *item.columns, FILE_COLUMN])]]
        return to_examples(select_rows(columns, list(result.failing_rows[:MAX_EXAMPLES])))


def build_result(
    item: CustomExpectation, outcome: ExpectationResult, population: str, sample: Sample
) -> Result:
    """The result of an expectation that was checked on every row or on the sample."""
    if outcome.error:
        return build_rule_result(item, False, 0, f"cannot be computed: {outcome.error},", population)
    if not outcome.checked:
        observed = "has no value to check, which counts as a failure,"
        return build_rule_result(item, False, 0, observed, population)
    if outcome.success:
        return build_rule_result(item, True, outcome.checked, "", population)
    if not outcome.failing:
        value = "" if outcome.observed is None else f": {_shorten(outcome.observed)} is observed"
        return build_rule_result(item, False, outcome.checked, f"does not meet it{value}", population)
    with_rows = outcome if outcome.failing_rows else sample.check_one(item)
    examples = sample.select_examples(item, with_rows)
    values = ", ".join(_shorten(examples[0][column]) for column in item.columns) if examples else ""
    fraction = f"{outcome.failing / outcome.checked:.1%}"
    such_as = f", such as {values}," if examples else ""
    observed = f"does not hold for {outcome.failing:,} rows ({fraction}){such_as}"
    return build_rule_result(item, False, outcome.checked, observed, population, examples=examples)


def build_rule_result(
    item: CustomExpectation,
    success: bool,
    checked: int,
    observed: str,
    population: str,
    *,
    where: str = "",
    examples: list[dict[str, Any]] | None = None,
) -> Result:
    """A result whose failure names the columns, the arguments and the field or item to change."""
    if success:
        return Result(item.name, item.severity, True, checked, population=population)
    columns = " and ".join(item.columns)
    subject = (
        "the log" if not columns else f"column {columns}" if len(item.columns) == 1 else f"columns {columns}"
    )
    arguments = [
        f"{name} {_shorten(value)}" for name, value in item.kwargs.items() if name not in _NOT_ARGUMENTS
    ]
    return Result(
        item.name,
        item.severity,
        False,
        checked,
        subject,
        observed,
        where or population,
        ", ".join(arguments),
        f"fix the log, or change {item.source}",
        examples or [],
        population,
    )


def _shorten(value: object) -> str:
    return " ".join(str(value).split())[:100]
