"""All rules by subject, and the Great Expectations suite that checks them."""

from typing import Any

from components.validate.checks.great_expectations import Expectation, ExpectRuleWithinBounds, gx
from components.validate.checks.rule import CheckedLog, Rule
from components.validate.checks.rules import (
    drift,
    features,
    keys,
    labels,
    leaks,
    partitions,
    sequences,
    tasks,
    times,
)
from recap_model.config import RecapConfig

AnyRule = Rule[Any]

SUBJECTS: dict[str, tuple[AnyRule, ...]] = {
    "partitions": partitions.RULES,
    "tasks": tasks.RULES,
    "labels": labels.RULES,
    "features": features.RULES,
    "sequences": sequences.RULES,
    "leaks": leaks.RULES,
    "keys": keys.RULES,
    "times": times.RULES,
    "drift": drift.RULES,
}


def select_rules(log: CheckedLog) -> dict[str, list[AnyRule]]:
    """The rules that apply to a log's config, by subject."""
    return {subject: [rule for rule in rules if rule.applies(log)] for subject, rules in SUBJECTS.items()}


def build_expectation(rule: AnyRule, config: RecapConfig) -> Expectation:
    """Build a rule's expectation, with its description and its bounds in the config."""
    bounds = config.validation.model_dump(mode="json", include=set(rule.bounds))
    return ExpectRuleWithinBounds(
        rule=rule.name,
        severity=rule.severity_in(config),
        description=rule.description,
        meta={"bounds": {f"validation.{name}": value for name, value in bounds.items()}},
    )


def build_suite(log: CheckedLog) -> dict[str, Any]:
    """Build the suite of the rules that a log is checked against, as Great Expectations' JSON."""
    rules = [rule for subject in select_rules(log).values() for rule in subject]
    expectations = [build_expectation(rule, log.config) for rule in rules]
    suite: dict[str, Any] = gx.ExpectationSuite(name="recap", expectations=expectations).to_json_dict()
    return suite
