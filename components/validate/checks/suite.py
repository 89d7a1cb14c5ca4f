"""All rules by subject, and the suite of expectations by which Great Expectations judges them."""

from typing import Any

from components.validate.checks import drift, features, keys, partitions, tasks, times
from components.validate.checks.great_expectations import Expectation, ExpectRuleWithinBounds, gx
from components.validate.checks.rule import CheckedLog, Rule
from recap_model.config import RecapConfig

AnyRule = Rule[Any]

SUBJECTS: dict[str, tuple[AnyRule, ...]] = {
    "partitions": partitions.RULES,
    "tasks": tasks.RULES,
    "features": features.RULES,
    "keys": keys.RULES,
    "times": times.RULES,
    "drift": drift.RULES,
}


def rules_for(log: CheckedLog) -> dict[str, list[AnyRule]]:
    """The rules that a log's config calls for, by subject."""
    return {subject: [rule for rule in rules if rule.applies(log)] for subject, rules in SUBJECTS.items()}


def expectation_of(rule: AnyRule, config: RecapConfig) -> Expectation:
    """A rule as Great Expectations states it, with its description and its bounds in the config."""
    bounds = config.validation.model_dump(mode="json", include=set(rule.bounds))
    return ExpectRuleWithinBounds(
        rule=rule.name,
        severity=rule.severity_in(config),
        description=rule.description,
        meta={"bounds": {f"validation.{name}": value for name, value in bounds.items()}},
    )


def suite_json(log: CheckedLog) -> dict[str, Any]:
    """The rules that a log is held to, as Great Expectations stores a suite."""
    rules = [rule for several in rules_for(log).values() for rule in several]
    expectations = [expectation_of(rule, log.config) for rule in rules]
    suite: dict[str, Any] = gx.ExpectationSuite(name="recap", expectations=expectations).to_json_dict()
    return suite
