"""Validate the log of a snapshot."""

import json
import logging
from pathlib import Path
from typing import Any

from components.common.artifacts.snapshot import MANIFEST_NAME, Snapshot
from components.common.artifacts.validation_result import RESULT_NAME, file_contents
from components.common.engine import open_engine
from components.common.runtime.atomic_output import atomic_directory, atomic_file, remove_directory
from components.common.storage.parquet import count_rows
from components.validate.checks.custom.expectations import ExpectationSource
from components.validate.checks.custom.run import check_custom_expectations
from components.validate.checks.run import build_checked_log, check_scan
from components.validate.checks.suite import build_suite
from components.validate.drift.reference import Reference, read_baseline
from components.validate.drift.serving_log import build_reference, open_serving_log
from components.validate.profile.columns import list_blocks
from components.validate.profile.scan import Log, Scan, choose_processes, scan_log
from components.validate.report.page import render_docs
from components.validate.result import ComparisonKind, ValidationFailed, ValidationResult

FORMAT = "recap-validated/1"
PROFILE_NAME = "profile.parquet"
SUITE_NAME = "expectation_suite.json"

log = logging.getLogger(__name__)


def validate_snapshot(
    snapshot: str | Path, out: str | Path, docs: str | Path, processes: int | None = None
) -> ValidationResult:
    """Check a snapshot's log against the rules of its config, on the engine that the config names.

    Args:
        snapshot: what resolve wrote.
        out: folder for ``_manifest.json``, ``verdict.json`` and ``profile.parquet``; removed if a critical rule
            fails, also one of an earlier run.
        docs: file for the HTML page; always written.
        processes: of the local engine; chosen by the cores and the log's size if None. The outputs do not depend on
            it, nor on the engine.

    Raises:
        ValidationFailed: a critical rule fails: a line for each failure, the most severe first.
        FileNotFoundError, ValueError: not a snapshot, or an invalid custom expectation.
        ChildProcessError, ConnectionError: a process that read files was killed, or Spark is not available.
    """
    frozen, config = Snapshot.read(snapshot)
    source = ExpectationSource.read(snapshot, frozen, config)
    expectations = source.build()
    references: dict[ComparisonKind, Reference] = {"drift": read_baseline(snapshot, frozen)}
    serving_log = open_serving_log(frozen, config)
    logged = Log(count_rows(frozen), config, list_blocks(config))
    with open_engine(config.data.engine, processes or choose_processes(logged)) as engine:
        scan = scan_log(logged, engine)
        if isinstance(serving_log, Log):
            serving_log = build_reference(scan_log(serving_log, engine))
        custom = check_custom_expectations(expectations, source, logged, scan, engine)
    if serving_log is not None:
        references["skew"] = serving_log
    frozen = logged.snapshot.with_files(
        lambda file: file.model_copy(update={"sha256": scan.digests.get(file.path, "")})
    )
    result = check_scan(scan, frozen, config, references, custom)
    with atomic_file(docs) as page:
        page.write_text(render_docs(result, scan.profile, config, references, frozen), encoding="utf-8")
    for line in result.lines("warning"):
        log.warning("%s", line)
    _log_summary(result)
    if result.outcome == "failed":
        remove_directory(out)
        raise ValidationFailed("\n".join(result.lines("critical")))
    suite = build_suite(build_checked_log(scan, frozen, config, result.drifts))
    _write(result, scan, suite, frozen, out)
    return result


def _write(
    result: ValidationResult, scan: Scan, suite: dict[str, Any], snapshot: Snapshot, out: str | Path
) -> None:
    manifest = {
        "format": FORMAT,
        "snapshot": result.snapshot,
        "rows": result.rows,
        "verdict": result.outcome,
        "files": file_contents(snapshot),
    }
    with atomic_directory(out) as folder:
        scan.profile.write(folder / PROFILE_NAME)
        (folder / RESULT_NAME).write_text(json.dumps(result.to_json(), indent=1, default=str))
        (folder / SUITE_NAME).write_text(json.dumps(suite, indent=1))
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest, indent=1))


def _log_summary(result: ValidationResult) -> None:
    critical, warnings = result.failures("critical"), result.failures("warning")
    failed = dict.fromkeys(f"{item.rule}({item.subject})" for item in critical + warnings)
    log.info(
        "verdict=%s rows=%d critical=%d warnings=%d failed=%s %s",
        result.outcome,
        result.rows,
        len(critical),
        len(warnings),
        ",".join(list(failed)[:5]) or "none",
        " ".join(f"{kind}={_summarize_drift(result, kind)}" for kind in result.drifts),
    )


def _summarize_drift(result: ValidationResult, kind: ComparisonKind) -> str:
    """A comparison's state, with the columns that drifted most, or why there is no comparison."""
    drift, state = result.drifts[kind], result.drift_state(kind)
    if drift.comparison is None:
        return f'{state}("{drift.reason}")'
    furthest = [change.column for change in drift.worst() if change.furthest > 1.0]
    return f"{state}({','.join(furthest[:5])})" if furthest else state
