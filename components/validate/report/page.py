"""The data page: result and what to do, failures, days, drift, tasks and columns, on one page that needs no network.

Great Expectations' own page takes its style sheets and scripts from the network, so this one is rendered from its
results by ``templates/page.html``.
"""

from typing import NamedTuple

from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import OUTCOMES_IN_WORDS
from components.common.html.render import render
from components.common.html.tables import Cell, Column, Table
from components.common.html.task_labels import tasks_of
from components.validate.drift.reference import Reference
from components.validate.profile.columns import list_blocks
from components.validate.profile.profile import Profile
from components.validate.report.columns import MAX_ROWS, draw_charts, list_tables
from components.validate.report.distributions import Columns
from components.validate.report.drift import drift_meanings, drift_sections
from components.validate.report.failures import MAX_SUBJECTS, Comparisons, count_subjects, list_failures
from components.validate.report.partitions import build_task_table, draw_calendar
from components.validate.result import ComparisonKind, Result, ValidationResult
from recap_model.config import RecapConfig

_TONES = {"passed": "good", "warnings": "warn", "failed": "bad"}
_MAX_CHARTS = 4  # of columns that hold; the table has a small histogram of each
_OPEN_SUBJECTS = 5  # the others are opened by a click
_OPEN_COLUMNS = 200  # of more, laying the table out takes a second: it is opened by a click


class _Lead(NamedTuple):
    """The page's first sentences: what was found, and what to do first."""

    result: str
    advice: str


def render_docs(
    result: ValidationResult,
    profile: Profile,
    config: RecapConfig,
    references: dict[ComparisonKind, Reference],
    snapshot: Snapshot,
) -> str:
    """The page's HTML. The result as JSON is in it too, in ``script#verdict``."""
    blocks = list_blocks(config)
    window = Columns(profile, blocks)
    beside = {
        kind: (reference.name, Columns(reference.profile, blocks))
        for kind, reference in references.items()
        if reference.profile is not None
    }
    sections = list(drift_sections(result))
    lead = _describe_result(result)
    return render(
        "components.validate.report/page.html",
        title=f"The log {OUTCOMES_IN_WORDS[result.outcome]}",
        lead=lead.result,
        advice=lead.advice,
        tone=_TONES[result.outcome],
        facts=_list_facts(result, profile, config, snapshot),
        subjects=list(list_failures(result, Comparisons(profile, blocks, window, beside))),
        more_subjects=count_subjects(result) - MAX_SUBJECTS,
        open_subjects=_OPEN_SUBJECTS,
        calendar=draw_calendar(result, profile, config) if profile.partitions else [],
        drifts=sections,
        drift_meanings=drift_meanings(),
        tasks=tasks_of(config.tasks),
        labels=build_task_table(profile, config),
        column_tables=list_tables(window, blocks, beside["drift"][1] if "drift" in beside else None),
        max_columns=MAX_ROWS,
        open_columns=_OPEN_COLUMNS,
        charts_shown=draw_charts(window, beside["drift"], _list_furthest(result))
        if "drift" in beside
        else [],
        rules=_build_rule_table(result),
        verdict=result.to_json(),
    )


def _describe_result(result: ValidationResult) -> _Lead:
    critical, warnings = result.failures("critical"), result.failures("warning")
    counted = [
        _count_noun(len(failures), noun)
        for failures, noun in ((critical, "critical failure"), (warnings, "warning"))
        if failures
    ]
    rules = len({item.rule for item in result.results})
    sentence = f"{' and '.join(counted)}. " if counted else f"All {rules} rules hold. "
    if critical:
        sentence += "The run ends here: nothing is trained on this log. "
    elif warnings:
        sentence += "Warnings do not end the run. "
    return _Lead(sentence + _describe_missing(result), _advise((critical or warnings)[:1]))


def _advise(first: list[Result]) -> str:
    if not first:
        return ""
    failure = first[0]
    where = f" in {failure.where}" if failure.where else ""
    return (
        f"Start with {failure.subject}, which {failure.observed}{where}: {failure.advice or failure.allowed}."
    )


def _describe_missing(result: ValidationResult) -> str:
    """Describe the comparisons that were not made."""
    not_compared = [
        drift for kind, drift in result.drifts.items() if result.drift_state(kind) == "no_baseline"
    ]
    return "".join(f"Not compared with {drift.against}: {drift.reason}. " for drift in not_compared)


def _list_facts(
    result: ValidationResult, profile: Profile, config: RecapConfig, snapshot: Snapshot
) -> dict[str, str]:
    compared = [drift.against for drift in result.drifts.values() if drift.comparison is not None]
    return {
        "window": f"{result.first_day} to {result.last_day}",
        "rows": f"{result.rows:,} in {_count_noun(len(profile.partitions), 'partition')}",
        "log": snapshot.data_root,
        "model": config.registry.model_name,
        "compared with": " and ".join(compared) or "nothing",
        "run": snapshot.run_id,
        "snapshot": result.snapshot[:12],
    }


def _list_furthest(result: ValidationResult) -> list[str]:
    """The columns furthest from the champion's log, of those that hold."""
    failed = {item.subject for item in result.results if not item.success}
    columns = [change.column for change in result.drifts["drift"].worst()]
    return [column for column in columns if f"column {column}" not in failed][:_MAX_CHARTS]


def _count_noun(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _build_rule_table(result: ValidationResult) -> Table:
    by_rule: dict[str, list[Result]] = {}
    for item in result.results:
        by_rule.setdefault(item.rule, []).append(item)
    rows: list[list[object]] = []
    for rule, items in by_rule.items():
        failures = sum(not item.success for item in items)
        checked = max(item.checked for item in items)
        tone = ("bad" if items[0].severity == "critical" else "warn") if failures else ""
        outcome = Cell("fails" if failures else "holds", tone=tone)
        populations = ", ".join(dict.fromkeys(item.population or "all rows" for item in items))
        rows.append([rule, items[0].severity, outcome, f"{checked:,}", populations, failures])
    heads = (
        "rule",
        Column("severity", help="a critical failure ends the run"),
        "outcome",
        Column("checked", help="columns, tasks, partitions or rows"),
        Column("on", help="the rows that were checked"),
        "failures",
    )
    return Table(heads, rows)
