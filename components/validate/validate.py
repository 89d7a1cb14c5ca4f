"""Validate the log of a snapshot."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.artifacts.snapshot import MANIFEST_NAME, Snapshot
from components.common.artifacts.validation_result import RESULT_NAME, file_contents
from components.common.runtime.atomic_output import atomic_directory, atomic_file, remove_directory
from components.common.storage.file_groups import all_files
from components.common.storage.parquet import count_rows
from components.validate.checks.custom.expectations import CustomExpectation, read_custom_expectations
from components.validate.checks.run import build_checked_log, check_scan
from components.validate.checks.suite import build_suite
from components.validate.drift.reference import Reference, read_baseline
from components.validate.drift.serving_log import build_reference, open_serving_log
from components.validate.profile.columns import list_blocks
from components.validate.profile.scan import Log, PartialScan, Scan, finish_scan, scan_files
from components.validate.report.page import render_docs
from components.validate.result import ComparisonKind, ValidationFailed, ValidationResult
from recap_model.config import RecapConfig

FORMAT = "recap-validated/1"
PROFILE_NAME = "profile.parquet"
SUITE_NAME = "expectation_suite.json"
LOG, SERVING_LOG = "log", "served"

log = logging.getLogger(__name__)


def validate_snapshot(
    snapshot: str | Path, out: str | Path, docs: str | Path, groups: int | None = None
) -> ValidationResult:
    """Check a snapshot's log against the rules of its config.

    Args:
        snapshot: what resolve wrote.
        out: folder for ``_manifest.json``, ``verdict.json`` and ``profile.parquet``; removed if a critical rule
            fails, also one of an earlier run.
        docs: file for the HTML page; always written.
        groups: of files that processes read in parallel; chosen by the number of cores if None. The outputs do not
            depend on it.

    Raises:
        ValidationFailed: a critical rule fails: a line for each failure, the most severe first.
        FileNotFoundError, ValueError: not a snapshot, or an invalid custom expectation.
        ChildProcessError: a process that read files was killed.
    """
    inputs = ValidationInputs.read(snapshot)
    scans = {name: scan_files(log, all_files(log.snapshot), groups) for name, log in inputs.logs.items()}
    return inputs.conclude(scans, out, docs)


@dataclass(frozen=True)
class ValidationInputs:
    """The inputs of a validation.

    Attributes:
        logs: to read: the log, and the serving log if it is readable.
        references: of the comparisons, those that are known before reading.
    """

    config: RecapConfig
    custom: list[CustomExpectation]
    logs: dict[str, Log]
    references: dict[ComparisonKind, Reference]

    @classmethod
    def read(cls, folder: str | Path) -> "ValidationInputs":
        """Read a snapshot's folder; errors as of `validate_snapshot`."""
        snapshot, config = Snapshot.read(folder)
        custom = read_custom_expectations(folder, snapshot, config)
        logs = {LOG: Log(count_rows(snapshot), config, list_blocks(config))}
        references: dict[ComparisonKind, Reference] = {"drift": read_baseline(folder, snapshot)}
        match open_serving_log(snapshot, config):
            case Log() as serving_log:
                logs[SERVING_LOG] = serving_log
            case Reference() as without_profile:
                references["skew"] = without_profile
        return cls(config, custom, logs, references)

    def conclude(
        self, scans: Mapping[str, PartialScan], out: str | Path, docs: str | Path
    ) -> ValidationResult:
        """Check the scans of the logs, write result and page; arguments and errors as of `validate_snapshot`."""
        digests = scans[LOG].digests
        snapshot = self.logs[LOG].snapshot.with_files(
            lambda file: file.model_copy(update={"sha256": digests.get(file.path, "")})
        )
        references = dict(self.references)
        if SERVING_LOG in self.logs:
            references["skew"] = build_reference(self.logs[SERVING_LOG], scans[SERVING_LOG])
        scan = finish_scan(self.logs[LOG], scans[LOG])
        result = check_scan(scan, snapshot, self.config, references, self.custom)
        with atomic_file(docs) as page:
            page.write_text(render_docs(result, scan.profile, self.config, references), encoding="utf-8")
        for line in result.lines("warning"):
            log.warning("%s", line)
        _log_summary(result)
        if result.outcome == "failed":
            remove_directory(out)
            raise ValidationFailed("\n".join(result.lines("critical")))
        suite = build_suite(build_checked_log(scan, snapshot, self.config, result.drifts))
        _write(result, scan, suite, snapshot, out)
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
