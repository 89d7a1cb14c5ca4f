"""From a scan to a verdict: findings of files, rules on the profile, examples from the sample."""

import numpy as np
import pandas as pd

from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.custom import Own
from components.validate.checks.custom_run import judge_own
from components.validate.checks.drift import drift_frames, drift_rules
from components.validate.checks.examples import add_examples, distinct_rows
from components.validate.checks.frames import frames_of
from components.validate.checks.great_expectations import Validator, expectation_of, rows_of
from components.validate.checks.rules import EXPLAINS, Row, Rule, rules_of
from components.validate.drift.compare import Drift, drift_of
from components.validate.drift.effective_rows import intraclass_correlations
from components.validate.drift.reference import Reference
from components.validate.profile.columns import blocks_of
from components.validate.profile.file_faults import FILE_RULES
from components.validate.profile.scan import Scan
from components.validate.result import Kind, Result, Verdict
from recap_model.config import RecapConfig
from recap_model.config.drift import Severity

_READING = ("file_readable", "file_unchanged")


def judge(
    scan: Scan,
    snapshot: Snapshot,
    config: RecapConfig,
    references: dict[Kind, Reference] | None = None,
    own: list[Own] | None = None,
) -> Verdict:
    """Hold a scan to every rule; ``references`` are what it is compared with, ``own`` are one's own expectations."""
    results = _of_files(scan, snapshot)
    drifts: dict[Kind, Drift] = {}
    if not snapshot.rows:
        window = f"{snapshot.first_day} to {snapshot.last_day}"
        said = (
            "the log",
            "has no row",
            window,
            "a window has rows",
            "write the log, or choose another window",
        )
        results.append(Result("rows_present", "critical", False, 0, *said))
    else:
        validator = Validator()
        frames, rules = frames_of(scan.profile, snapshot, config, _unread(scan)), rules_of(snapshot, config)
        compared = any(reference.profile is not None for reference in (references or {}).values())
        correlations = intraclass_correlations(scan.sample, blocks_of(config)) if compared else {}
        for kind, reference in (references or {}).items():
            drift = drifts[kind] = drift_of(kind, reference, scan.profile, correlations, config)
            if drift.found is not None:
                frames |= drift_frames(kind, drift.found)
                rules += drift_rules(kind, reference.name, drift.found, snapshot, config)
        results += _of_rules(scan, frames, rules, validator)
        results += judge_own(own or [], scan, snapshot, config, validator)
        results += distinct_rows(scan.sample, config, validator)
        results = add_examples(_untold(results), scan.sample, snapshot, config, validator)
    order = sorted(results, key=lambda item: (item.success, item.severity != "critical"))
    days = snapshot.first_day.isoformat(), snapshot.last_day.isoformat()
    return Verdict(snapshot.digest, *days, snapshot.rows, order, drifts)


def _of_files(scan: Scan, snapshot: Snapshot) -> list[Result]:
    files = sum(len(part.files) for part in snapshot.partitions)
    results = []
    for finding in scan.findings:
        where = "" if finding.rule == "file_readable" else finding.place
        said = (finding.subject, finding.observed, where, finding.allowed, finding.advice)
        results.append(Result(finding.rule, "critical", False, files, *said))
    broken = {finding.rule for finding in scan.findings}
    return results + [Result(rule, "critical", True, files) for rule in FILE_RULES if rule not in broken]


def _unread(scan: Scan) -> set[str]:
    """Partitions with a file that is not readable."""
    return {
        path.rpartition("/")[0]
        for finding in scan.findings
        if finding.rule in _READING
        for path in finding.files
    }


def _of_rules(
    scan: Scan, frames: dict[str, pd.DataFrame], rules: list[Rule], validator: Validator
) -> list[Result]:
    broken: dict[str, list[tuple[Rule, Row]]] = {rule.name: [] for rule in rules}
    checked: dict[str, int] = {rule.name: 0 for rule in rules}
    unchecked: list[Result] = []
    for name in dict.fromkeys(rule.frame for rule in rules):
        held = [rule for rule in rules if rule.frame == name]
        frame = frames[name]
        if frame.empty:
            unchecked += [_unchecked(rule) for rule in held] if not len(scan.findings) else []
            continue
        places = validator.offending(frame, [expectation_of(rule) for rule in held])
        for rule, offending in zip(held, places, strict=True):
            checked[rule.name] = max(checked[rule.name], len(frame))
            nulls = np.flatnonzero(frame[[rule.value, rule.bound]].isna().any(axis=1)).tolist()
            rows = rows_of(frame, sorted({*offending, *nulls}))
            broken[rule.name] += [(rule, row) for row in rows]
    severities: dict[str, Severity] = {rule.name: rule.severity for rule in rules}
    results = [_told(name, items, checked[name]) for name, items in broken.items()]
    passed = [
        Result(name, severities[name], True, checked[name])
        for name, items in broken.items()
        if not items and checked[name]
    ]
    return unchecked + [result for several in results for result in several] + passed


def _unchecked(rule: Rule) -> Result:
    said = (
        "the log",
        "leaves nothing to check",
        "",
        "an empty table is no pass",
        "look at the columns of the log",
    )
    return Result(rule.name, rule.severity, False, 0, *said)


def _told(name: str, broken: list[tuple[Rule, Row]], checked: int) -> list[Result]:
    """One result for each subject: the row furthest from its bound, and how many others there are."""
    subjects: dict[str, list[tuple[Rule, Row]]] = {}
    for rule, row in broken:
        subjects.setdefault(str(row[rule.about]), []).append((rule, row))
    results = []
    for several in subjects.values():
        rule, row = max(several, key=_distance)
        words = rule.say(row)
        where = words.where + _others([item for _, item in several], row)
        results.append(
            Result(name, rule.severity, False, checked, words.subject, words.observed, where, *words[3:])
        )
    return results


def _distance(item: tuple[Rule, Row]) -> float:
    rule, row = item
    distance = abs(float(row[rule.value]) - float(row[rule.bound]))
    return distance if distance == distance else float("inf")


def _others(rows: list[Row], told: Row) -> str:
    """How many more partitions and positions of a list break the rule for the same subject."""
    said = []
    for key, word in (("partition", "partition"), ("column", "position")):
        more = len({row[key] for row in rows if key in row}) - 1
        if more > 0:
            said.append(f"{more:,} more {word}{'s' * (more > 1)}")
    return f" and {' and '.join(said)}" if said else ""


def _untold(results: list[Result]) -> list[Result]:
    """Leave out failures that another failure of the same subject explains, but none by a lesser one."""
    explained = {
        (rule, _subject(result), severity)
        for result in results
        if not result.success
        for rule in EXPLAINS.get(result.rule, ())
        for severity in (("warning", "critical") if result.severity == "critical" else ("warning",))
    }
    return [
        result
        for result in results
        if result.success
        or not {(result.rule, subject, result.severity) for subject in (_subject(result), "")} & explained
    ]


def _subject(result: Result) -> str:
    """What a result is about; a file's copy explains rows that are there twice, wherever."""
    return "" if result.rule == "files_distinct" else result.subject.partition("[")[0]
