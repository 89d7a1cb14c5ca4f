"""Is the log of a snapshot fit to train on?"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.artifacts.snapshot import MANIFEST_NAME, Snapshot
from components.common.artifacts.validation_result import RESULT_NAME
from components.common.runtime.atomic_output import atomic_directory, atomic_file, remove_directory
from components.common.storage.file_groups import all_files
from components.validate.checks.custom import Own, read_own
from components.validate.checks.run import checked_log, judge
from components.validate.checks.suite import suite_json
from components.validate.drift.reference import Reference, read_baseline
from components.validate.drift.serving_log import served, serving_log
from components.validate.profile.columns import blocks_of
from components.validate.profile.scan import Log, Part, Scan, complete, read_files
from components.validate.report.page import render_docs
from components.validate.result import Kind, ValidationFailed, Verdict
from recap_model.config import RecapConfig

FORMAT = "recap-validated/1"
PROFILE_NAME = "profile.parquet"
SUITE_NAME = "expectation_suite.json"
LOG, SERVED = "log", "served"

log = logging.getLogger(__name__)


def validate_snapshot(
    snapshot: str | Path, out: str | Path, docs: str | Path, groups: int | None = None
) -> Verdict:
    """Hold a snapshot's log to the rules that follow from its config.

    Args:
        snapshot: what resolve wrote.
        out: folder for ``_manifest.json``, ``verdict.json`` and ``profile.parquet``; it is not there afterwards
            if a critical rule is broken, whatever an earlier run left.
        docs: file for the page that a person reads; written in either case.
        groups: of files that processes read side by side; as many as pay off if None. The outputs are the same.

    Raises:
        ValidationFailed: a critical rule is broken: a line for each failure, the most severe first.
        FileNotFoundError, ValueError: this is no snapshot, or an expectation of one's own is wrong.
        ChildProcessError: a process that read files was killed.
    """
    check = Check.of(snapshot)
    parts = {name: read_files(log, all_files(log.snapshot), groups) for name, log in check.logs.items()}
    return check.conclude(parts, out, docs)


@dataclass(frozen=True)
class Check:
    """What a snapshot's log is held to.

    Attributes:
        logs: to be read: ``log``, and ``served`` if the serving log can be.
        references: what is compared with, as far as it is known before reading.
    """

    config: RecapConfig
    own: list[Own]
    logs: dict[str, Log]
    references: dict[Kind, Reference]

    @classmethod
    def of(cls, snapshot: str | Path) -> "Check":
        """Of a snapshot's folder; errors as of `validate_snapshot`."""
        frozen, config = Snapshot.read(snapshot)
        own = read_own(snapshot, frozen, config)
        logs = {LOG: Log(frozen, config, blocks_of(config))}
        references: dict[Kind, Reference] = {"drift": read_baseline(snapshot, frozen)}
        match serving_log(frozen, config):
            case Log() as found:
                logs[SERVED] = found
            case Reference() as missing:
                references["skew"] = missing
        return cls(config, own, logs, references)

    def conclude(self, parts: Mapping[str, Part], out: str | Path, docs: str | Path) -> Verdict:
        """From what was read of each log to verdict and page; arguments and errors as of `validate_snapshot`."""
        snapshot = self.logs[LOG].snapshot
        references = dict(self.references)
        if SERVED in self.logs:
            references["skew"] = served(self.logs[SERVED], parts[SERVED])
        scan = complete(self.logs[LOG], parts[LOG])
        verdict = judge(scan, snapshot, self.config, references, self.own)
        with atomic_file(docs) as page:
            page.write_text(render_docs(verdict, scan.profile, self.config, references), encoding="utf-8")
        for line in verdict.lines("warning"):
            log.warning("%s", line)
        _log_summary(verdict)
        if verdict.outcome == "failed":
            remove_directory(out)
            raise ValidationFailed("\n".join(verdict.lines("critical")))
        suite = suite_json(checked_log(scan, snapshot, self.config, verdict.drifts))
        _write(verdict, scan, suite, out)
        return verdict


def _write(verdict: Verdict, scan: Scan, suite: dict[str, Any], out: str | Path) -> None:
    manifest = {
        "format": FORMAT,
        "snapshot": verdict.snapshot,
        "rows": verdict.rows,
        "verdict": verdict.outcome,
    }
    with atomic_directory(out) as folder:
        scan.profile.write(folder / PROFILE_NAME)
        (folder / RESULT_NAME).write_text(json.dumps(verdict.to_json(), indent=1, default=str))
        (folder / SUITE_NAME).write_text(json.dumps(suite, indent=1))
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest, indent=1))


def _log_summary(verdict: Verdict) -> None:
    critical, warnings = verdict.failures("critical"), verdict.failures("warning")
    failed = dict.fromkeys(f"{item.rule}({item.subject})" for item in critical + warnings)
    log.info(
        "verdict=%s rows=%d critical=%d warnings=%d failed=%s %s",
        verdict.outcome,
        verdict.rows,
        len(critical),
        len(warnings),
        ",".join(list(failed)[:5]) or "none",
        " ".join(f"{kind}={_in_a_word(verdict, kind)}" for kind in verdict.drifts),
    )


def _in_a_word(verdict: Verdict, kind: Kind) -> str:
    """A comparison's state, and its furthest columns or why there is none."""
    drift, state = verdict.drifts[kind], verdict.drift_state(kind)
    if drift.found is None:
        return f'{state}("{drift.reason}")'
    furthest = [change.column for change in drift.worst() if change.furthest > 1.0]
    return f"{state}({','.join(furthest[:5])})" if furthest else state
