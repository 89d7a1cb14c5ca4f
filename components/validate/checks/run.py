"""From a scan to a result: faults of files, rules on the profile, examples from the sample."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.custom.expectations import CustomExpectation
from components.validate.checks.custom.run import check_custom_expectations
from components.validate.checks.examples import distinct_rows, examples_of
from components.validate.checks.great_expectations import Validator, zero_or_one
from components.validate.checks.rule import CheckedLog, Fact, Figure
from components.validate.checks.suite import SUBJECTS, AnyRule, expectation_of, rules_for
from components.validate.drift.compare import Drift, drift_of
from components.validate.drift.effective_rows import intraclass_correlations
from components.validate.drift.reference import Reference
from components.validate.profile.columns import blocks_of
from components.validate.profile.file_faults import FILE_RULES, IMPLIED_BY_FAULTS
from components.validate.profile.scan import Scan
from components.validate.result import Kind, Result, ValidationResult
from recap_model.config import RecapConfig

_READING = ("file_readable", "file_unchanged")


@dataclass(frozen=True)
class _Failure:
    """A rule that does not hold, and the fact that is furthest outside its bounds."""

    result: Result
    rule: AnyRule
    fact: Fact


def judge(
    scan: Scan,
    snapshot: Snapshot,
    config: RecapConfig,
    references: dict[Kind, Reference] | None = None,
    own: list[CustomExpectation] | None = None,
) -> ValidationResult:
    """Hold a scan to every rule; ``references`` are what it is compared with, ``own`` are one's own expectations."""
    results = _file_fault_results(scan, snapshot)
    drifts: dict[Kind, Drift] = {}
    if not snapshot.rows:
        results.append(_no_rows(snapshot))
    else:
        validator = Validator()
        drifts = _compare(scan, config, references or {})
        log = checked_log(scan, snapshot, config, drifts)
        judged, failures = _judge_rules(log, scan, validator)
        others = [*check_custom_expectations(own or [], scan, snapshot, config, validator)]
        others += distinct_rows(scan.sample, config, validator)
        results += [failure.result for failure in failures] + judged + others
        results = _drop_implied(results)
        results = [_with_examples(result, failures, log, scan, validator) for result in results]
    order = sorted(results, key=lambda item: (item.success, item.severity != "critical"))
    days = snapshot.first_day.isoformat(), snapshot.last_day.isoformat()
    return ValidationResult(snapshot.digest, *days, snapshot.rows, order, drifts)


def checked_log(scan: Scan, snapshot: Snapshot, config: RecapConfig, drifts: dict[Kind, Drift]) -> CheckedLog:
    """What rules look at."""
    comparisons = {
        kind: (drift.against, drift.found) for kind, drift in drifts.items() if drift.found is not None
    }
    return CheckedLog(scan.profile, snapshot, config, _unread(scan), comparisons)


def _compare(scan: Scan, config: RecapConfig, references: dict[Kind, Reference]) -> dict[Kind, Drift]:
    compared = any(reference.profile is not None for reference in references.values())
    correlations = intraclass_correlations(scan.sample, blocks_of(config)) if compared else {}
    return {
        kind: drift_of(kind, reference, scan.profile, correlations, config)
        for kind, reference in references.items()
    }


def _file_fault_results(scan: Scan, snapshot: Snapshot) -> list[Result]:
    files = sum(len(part.files) for part in snapshot.partitions)
    results = []
    for fault in scan.faults:
        where = "" if fault.rule == "file_readable" else fault.place
        said = (fault.subject, fault.observed, where, fault.allowed, fault.advice)
        results.append(Result(fault.rule, "critical", False, files, *said))
    broken = {fault.rule for fault in scan.faults}
    return results + [Result(rule, "critical", True, files) for rule in FILE_RULES if rule not in broken]


def _no_rows(snapshot: Snapshot) -> Result:
    window = f"{snapshot.first_day} to {snapshot.last_day}"
    advice = "write the log, or choose another window"
    return Result(
        "rows_present", "critical", False, 0, "the log", "has no row", window, "a window has rows", advice
    )


def _unread(scan: Scan) -> frozenset[str]:
    """Partitions with a file that is not readable."""
    return frozenset(
        path.rpartition("/")[0] for fault in scan.faults if fault.rule in _READING for path in fault.files
    )


def _judge_rules(log: CheckedLog, scan: Scan, validator: Validator) -> tuple[list[Result], list[_Failure]]:
    """Results of rules that hold or have nothing to check, and failures."""
    results: list[Result] = []
    failures: list[_Failure] = []
    for rules in rules_for(log).values():
        facts = [(rule, fact, rule.figure(fact, log)) for rule in rules for fact in rule.facts(log)]
        checked = {rule.name: 0 for rule in rules}
        for rule, _, _ in facts:
            checked[rule.name] += 1
        held = [rule for rule in rules if checked[rule.name]]
        if held:
            frame = pd.DataFrame([(rule.name, *figure) for rule, _, figure in facts], columns=_COLUMNS)
            broken = validator.offending(frame, [expectation_of(rule, log.config) for rule in held])
            for rule, rows in zip(held, broken, strict=True):
                failures += _failures(rule, [facts[row][1:] for row in rows], checked[rule.name], log)
                if not rows:
                    results.append(Result(rule.name, rule.severity_in(log.config), True, checked[rule.name]))
        if not len(scan.faults):
            results += [_nothing_checked(rule, log) for rule in rules if not checked[rule.name]]
    return results, failures


_COLUMNS = ["rule", "value", "lowest", "highest"]


def _nothing_checked(rule: AnyRule, log: CheckedLog) -> Result:
    words = ("the log", "leaves nothing to check", "", "an empty result counts as a failure")
    return Result(rule.name, rule.severity_in(log.config), False, 0, *words, "look at the columns of the log")


def _failures(
    rule: AnyRule, broken: list[tuple[Fact, Figure]], checked: int, log: CheckedLog
) -> Iterator[_Failure]:
    """One for each subject: the fact that is furthest from its bounds, and how many others there are."""
    subjects: dict[str, list[tuple[Fact, Figure]]] = {}
    for fact, figure in broken:
        subjects.setdefault(fact.about, []).append((fact, figure))
    for several in subjects.values():
        worst, _ = max(several, key=lambda item: item[1].distance)
        words = rule.words(worst, log)
        where = words.where + _others([fact for fact, _ in several])
        severity = rule.severity_in(log.config)
        result = Result(rule.name, severity, False, checked, words.subject, words.observed, where, *words[3:])
        yield _Failure(result, rule, worst)


def _others(facts: list[Fact]) -> str:
    """How many more partitions and positions of a list break the rule for the same subject."""
    more = {
        "partition": len({fact.partition for fact in facts if fact.partition}) - 1,
        "position": len({fact.label for fact in facts if fact.label}) - 1,
    }
    counted = [f"{count:,} more {word}{'s' * (count > 1)}" for word, count in more.items() if count > 0]
    return f" and {' and '.join(counted)}" if counted else ""


def _drop_implied(results: list[Result]) -> list[Result]:
    """Suppress failures implied by a failure of equal or higher severity of the same subject."""
    implied = {
        (rule, _subject(result), severity)
        for result in results
        if not result.success
        for rule in _IMPLIES.get(result.rule, ())
        for severity in (("warning", "critical") if result.severity == "critical" else ("warning",))
    }
    return [
        result
        for result in results
        if result.success
        or not {(result.rule, subject, result.severity) for subject in (_subject(result), "")} & implied
    ]


_IMPLIES = IMPLIED_BY_FAULTS | {
    rule.name: tuple(rule.implies) for rules in SUBJECTS.values() for rule in rules
}


def _subject(result: Result) -> str:
    """What a result is about; a file's copy explains rows that are there twice, wherever."""
    return "" if result.rule == "files_distinct" else result.subject.partition("[")[0]


def _with_examples(
    result: Result, failures: list[_Failure], log: CheckedLog, scan: Scan, validator: Validator
) -> Result:
    """A failed result with the ids and values of sampled rows that break the same rule."""
    if result.success or result.examples:
        return result
    columns, fulfilled = [], []
    for failure in failures:
        if failure.result is result:
            columns = failure.rule.columns(failure.fact, log)
            fulfilled = failure.rule.row_expectations(columns, log)
    if result.rule == "label_values":
        columns = [log.config.label_columns()[result.subject.removeprefix("task ")]]
        fulfilled = [zero_or_one(columns[0])]
    return replace(result, examples=examples_of(columns, fulfilled, scan.sample, log.config, validator))
