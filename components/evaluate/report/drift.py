"""The report's sections on drift and skew: a summary of validate's comparisons. The table is in validate's page."""

from collections.abc import Iterator

from components.common.artifacts.validation_result import (
    DRIFT_IN_WORDS,
    DriftSummary,
    ValidationResultFile,
)
from components.common.html.tables import Section

_MAX_NAMED = 5


def drift_sections(result: ValidationResultFile) -> Iterator[Section]:
    """Drift from the champion's data, and skew from what was served if a serving log is given."""
    yield _summarize("Drift", f"Drift from the data of {result.drift.against}", result.drift, result)
    if result.skew is not None:
        yield _summarize("Skew", f"Skew between the log and {result.skew.against}", result.skew, result)


def _summarize(kind: str, title: str, drift: DriftSummary, result: ValidationResultFile) -> Section:
    """Counts, and a sentence for each rule of the comparison that failed."""
    if drift.state == "no_baseline":
        reason = f"{drift.reason[:1].upper()}{drift.reason[1:]}."
        return Section(f"{kind}: {DRIFT_IN_WORDS[drift.state]}", [reason])
    more = f", and {len(drift.new) - _MAX_NAMED:,} more" if len(drift.new) > _MAX_NAMED else ""
    new = f" New, so not compared: {', '.join(drift.new[:_MAX_NAMED])}{more}." if drift.new else ""
    counts = f"Columns beyond a bound: {drift.beyond:,} of {drift.compared:,}.{new}"
    failures = [
        rule.line for rule in result.rules if not rule.success and rule.rule.endswith(f"_{kind.lower()}")
    ]
    link = "Validate's page has each column's figures and histograms."
    return Section(f"{title}: {DRIFT_IN_WORDS[drift.state]}", [f"{counts} {link}", *failures])
