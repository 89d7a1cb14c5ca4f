"""Check a scan: faults of files, rules on the profile, examples from the sample."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.examples import check_distinct_rows, find_examples
from components.validate.checks.great_expectations import Validator, zero_or_one
from components.validate.checks.rule import CheckedLog, Fact, Figure
from components.validate.checks.suite import SUBJECTS, AnyRule, build_expectation, select_rules
from components.validate.drift.compare import Drift, measure_drift
from components.validate.drift.effective_rows import measure_correlations
from components.validate.drift.reference import Reference
from components.validate.profile.columns import list_blocks
from components.validate.profile.file_faults import FILE_RULES, IMPLIED_BY_FAULTS
from components.validate.profile.scan import Scan
from components.validate.result import ComparisonKind, Result, ValidationResult
from recap_model.config import RecapConfig

_MAX_COLUMNS = 3  # of a task, by their AUC
_READ_RULES = ("file_readable", "file_unchanged")
_DAY = "date="


@dataclass(frozen=True)
class _Failure:
    """A failed rule, and the fact that is furthest outside its bounds."""

    result: Result
    rule: AnyRule
    fact: Fact


def check_scan(
    scan: Scan,
    snapshot: Snapshot,
    config: RecapConfig,
    references: dict[ComparisonKind, Reference] | None = None,
    custom: Sequence[Result] = (),
) -> ValidationResult:
    """Check a scan against every rule; ``references`` are what it is compared with, ``custom`` further results."""
    results = _list_file_faults(scan, snapshot)
    drifts: dict[ComparisonKind, Drift] = {}
    column_auc: dict[str, list[tuple[str, float]]] = {}
    if not snapshot.rows:
        results.append(_report_no_rows(snapshot))
    else:
        validator = Validator()
        drifts = _compare(scan, config, references or {})
        log = build_checked_log(scan, snapshot, config, drifts)
        passed, failures = _check_rules(log, scan, validator)
        column_auc = _highest_auc(log)
        results += [failure.result for failure in failures] + passed
        results += [*custom, *check_distinct_rows(scan.sample, config, validator)]
        results = _drop_implied(results)
        results = [_add_examples(result, failures, log, scan, validator) for result in results]
    order = sorted(results, key=lambda item: (item.success, item.severity != "critical"))
    days = snapshot.first_day.isoformat(), snapshot.last_day.isoformat()
    return ValidationResult(snapshot.digest, *days, snapshot.rows, order, drifts, column_auc)


def _highest_auc(log: CheckedLog) -> dict[str, list[tuple[str, float]]]:
    """By task, the columns with the highest AUC."""
    scores = sorted(log.column_scores, key=lambda score: (-score.auc, score.column))
    by_task: dict[str, list[tuple[str, float]]] = {}
    for task in log.config.binary_tasks:
        highest = [(score.column, round(score.auc, 4)) for score in scores if score.task == task]
        by_task |= {task: highest[:_MAX_COLUMNS]} if highest else {}
    return by_task


def build_checked_log(
    scan: Scan, snapshot: Snapshot, config: RecapConfig, drifts: dict[ComparisonKind, Drift]
) -> CheckedLog:
    """Build the input of rules."""
    comparisons = {
        kind: (drift.against, drift.comparison)
        for kind, drift in drifts.items()
        if drift.comparison is not None
    }
    return CheckedLog(
        scan.profile, snapshot, config, _list_unread_partitions(scan, snapshot), comparisons, scan.sample
    )


def _compare(
    scan: Scan, config: RecapConfig, references: dict[ComparisonKind, Reference]
) -> dict[ComparisonKind, Drift]:
    compared = any(reference.profile is not None for reference in references.values())
    correlations = measure_correlations(scan.sample, list_blocks(config)) if compared else {}
    return {
        kind: measure_drift(kind, reference, scan.profile, correlations, config)
        for kind, reference in references.items()
    }


def _list_file_faults(scan: Scan, snapshot: Snapshot) -> list[Result]:
    paths_of = {partition.name: {file.path for file in partition.files} for partition in snapshot.partitions}
    files = sum(map(len, paths_of.values()))
    results = []
    for fault in scan.faults:
        where = "" if fault.rule == "file_readable" else fault.location
        text = (fault.subject, fault.observed, where, fault.allowed, fault.advice)
        days = _list_days(name for name, paths in paths_of.items() if not paths.isdisjoint(fault.files))
        results.append(Result(fault.rule, "critical", False, files, *text, days=days))
    broken = {fault.rule for fault in scan.faults}
    return results + [Result(rule, "critical", True, files) for rule in FILE_RULES if rule not in broken]


def _report_no_rows(snapshot: Snapshot) -> Result:
    window = f"{snapshot.first_day} to {snapshot.last_day}"
    advice = "write the log, or choose another window"
    return Result(
        "rows_present", "critical", False, 0, "the log", "has no row", window, "a window has rows", advice
    )


def _list_unread_partitions(scan: Scan, snapshot: Snapshot) -> frozenset[str]:
    """List the partitions with a file that cannot be read."""
    unread = {path for fault in scan.faults if fault.rule in _READ_RULES for path in fault.files}
    return frozenset(
        partition.name
        for partition in snapshot.partitions
        if any(file.path in unread for file in partition.files)
    )


def _check_rules(log: CheckedLog, scan: Scan, validator: Validator) -> tuple[list[Result], list[_Failure]]:
    """Results of rules that pass or have nothing to check, and failures."""
    results: list[Result] = []
    failures: list[_Failure] = []
    for rules in select_rules(log).values():
        facts = [(rule, fact, rule.figure(fact, log)) for rule in rules for fact in rule.facts(log)]
        checked = {rule.name: 0 for rule in rules}
        for rule, _, _ in facts:
            checked[rule.name] += 1
        applied = [rule for rule in rules if checked[rule.name]]
        if applied:
            frame = pd.DataFrame([(rule.name, *figure) for rule, _, figure in facts], columns=_COLUMNS)
            broken = validator.find_failing_rows(
                frame, [build_expectation(rule, log.config) for rule in applied]
            )
            for rule, rows in zip(applied, broken, strict=True):
                failures += _build_failures(rule, [facts[row][1:] for row in rows], checked[rule.name], log)
                if not rows:
                    results.append(Result(rule.name, rule.severity_in(log.config), True, checked[rule.name]))
        if not len(scan.faults):
            results += [_report_unchecked(rule, log) for rule in rules if not checked[rule.name]]
    return results, failures


_COLUMNS = ["rule", "value", "lowest", "highest"]


def _report_unchecked(rule: AnyRule, log: CheckedLog) -> Result:
    text = ("the log", "leaves nothing to check", "", "an empty result counts as a failure")
    return Result(rule.name, rule.severity_in(log.config), False, 0, *text, "look at the columns of the log")


def _build_failures(
    rule: AnyRule, broken: list[tuple[Fact, Figure]], checked: int, log: CheckedLog
) -> Iterator[_Failure]:
    """Build a failure for each subject: the fact furthest from its bounds, and the number of others."""
    subjects: dict[str, list[tuple[Fact, Figure]]] = {}
    for fact, figure in broken:
        subjects.setdefault(fact.subject, []).append((fact, figure))
    for facts in subjects.values():
        worst, _ = max(facts, key=lambda item: item[1].distance)
        text = rule.describe(worst, log)
        where = text.where + _count_others([fact for fact, _ in facts])
        severity = rule.severity_in(log.config)
        described = (text.subject, text.observed, where, *text[3:])
        days = _list_days(fact.location for fact, _ in facts)
        result = Result(rule.name, severity, False, checked, *described, days=days)
        yield _Failure(result, rule, worst)


def _list_days(locations: Iterable[str]) -> list[str]:
    """The days of partitions, each once, in order."""
    days = (name.partition("/")[0] for name in locations if name.startswith(_DAY))
    return sorted({day.removeprefix(_DAY) for day in days})


def _count_others(facts: list[Fact]) -> str:
    """Count the other partitions and list positions of a subject that break the rule."""
    more = {
        "partition": len({fact.partition for fact in facts if fact.partition}) - 1,
        "position": len({fact.label for fact in facts if fact.label}) - 1,
    }
    counted = [f"{count:,} more {word}{'s' * (count > 1)}" for word, count in more.items() if count > 0]
    return f" and {' and '.join(counted)}" if counted else ""


def _drop_implied(results: list[Result]) -> list[Result]:
    """Suppress failures implied by a failure of equal or higher severity of the same subject."""
    implied = {
        (rule, _find_subject(result), severity)
        for result in results
        if not result.success
        for rule in _IMPLIES.get(result.rule, ())
        for severity in (("warning", "critical") if result.severity == "critical" else ("warning",))
    }
    return [
        result
        for result in results
        if result.success
        or not {(result.rule, subject, result.severity) for subject in (_find_subject(result), "")} & implied
    ]


_IMPLIES = IMPLIED_BY_FAULTS | {
    rule.name: tuple(rule.implies) for rules in SUBJECTS.values() for rule in rules
}


def _find_subject(result: Result) -> str:
    """The column or task of a result; empty for copied files, which explain duplicate rows in any partition."""
    return "" if result.rule == "files_distinct" else result.subject.partition("[")[0]


def _add_examples(
    result: Result, failures: list[_Failure], log: CheckedLog, scan: Scan, validator: Validator
) -> Result:
    """Add the ids and values of sampled rows that break the rule to a failed result."""
    if result.success or result.examples:
        return result
    columns, expectations = [], []
    for failure in failures:
        if failure.result is result:
            columns = failure.rule.columns(failure.fact)
            expectations = failure.rule.row_expectations(failure.fact, log)
    if result.rule == "label_values":
        kind, _, name = result.subject.partition(" ")
        columns = [name if kind == "column" else log.config.label_columns()[name]]
        expectations = [zero_or_one(columns[0])]
    return replace(result, examples=find_examples(columns, expectations, scan.sample, log.config, validator))
