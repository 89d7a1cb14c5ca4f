"""A run's pages in one folder: copies that link to each other, and an index with the run's facts.

Where a page is an artifact (kfp, MLflow) it stands alone, in a frame whose links lead nowhere: only the copies link.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.steps import STEPS

INDEX = "index.html"
PAGES = {
    "data": ("validate", "data_docs"),
    "training": ("train", "curves"),
    "calibration": ("calibrate", "reliability"),
    "evaluation": ("evaluate", "report"),
    "history": ("promote", "history"),
}
_MARK = "<!-- pages -->"  # in the template of all pages, where links go
_TONES = {"PROMOTE": "good", "HOLD": "warn", "ERROR": "bad"}


@dataclass(frozen=True)
class FailedStep:
    """The step that ended a run, and its error messages."""

    name: str
    lines: list[str]


def collect_pages(
    outputs: Path, folder: Path, durations_s: Mapping[str, float], failed: FailedStep | None = None
) -> dict[str, str]:
    """Copy the pages that a run's steps wrote, and write their index; returns their paths by name, the index first.

    Args:
        outputs: a folder with one folder of outputs per step.
        durations_s: of the steps that ended, in their order.
    """
    written = {
        name: outputs / step / artifact
        for name, (step, artifact) in PAGES.items()
        if (outputs / step / artifact).is_file()
    }
    for name, path in written.items():
        page = path.read_text(encoding="utf-8").replace(_MARK, _render_links(list(written), name), 1)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    index = _render_index(_RunRecord(outputs), list(written), durations_s, failed)
    (folder / INDEX).write_text(
        index.replace(_MARK, _render_links(list(written), "run"), 1), encoding="utf-8"
    )
    return {"run": str(folder / INDEX)} | {name: str(folder / f"{name}.html") for name in written}


def _render_links(pages: list[str], current: str) -> str:
    files = {"run": INDEX} | {name: f"{name}.html" for name in pages}
    links = (
        f'<a href="{file}"{" aria-current=page" if name == current else ""}>{name}</a>'
        for name, file in files.items()
    )
    return f'<nav aria-label="Pages of this run">{" ".join(links)}</nav>'


class _RunRecord:
    """What the steps wrote about themselves; an output that a run does not have is empty."""

    def __init__(self, outputs: Path) -> None:
        self.snapshot = _read(outputs / "resolve" / "snapshot" / "_manifest.json")
        self.validation = _read(outputs / "validate" / "validated" / "verdict.json")
        self.model = _read(outputs / "calibrate" / "calibrated_model" / "_manifest.json") or _read(
            outputs / "train" / "model" / "_manifest.json"
        )
        self.calibration = _read(outputs / "calibrate" / "calibrated_model" / "calibration_report.json")
        self.decision = _read(outputs / "evaluate" / "evaluation" / "decision.json")
        self.version = _read(outputs / "register" / "version" / "version.json")
        self.promotion = _read(outputs / "promote" / "promotion" / "promotion.json")


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _render_index(
    run: _RunRecord, pages: list[str], durations_s: Mapping[str, float], failed: FailedStep | None
) -> str:
    # Here, as loading Jinja2 takes time that a run's start does not have.
    from components.common.html.render import render
    from components.common.html.tables import Table

    title, lead, tone = _describe_result(run, failed)
    failing = [
        rule["words"] for rule in run.decision.get("rules", []) if rule["verdict"] in ("fail", "error")
    ]
    titles = {step.name: step.title for step in STEPS}
    total = sum(durations_s.values())
    return render(
        "pipeline.local/index.html",
        title=title,
        lead=lead,
        tone=tone,
        advice=_advise(run, failed),
        reasons=failed.lines if failed else failing,
        facts=_list_facts(run),
        pages=[(name, f"{name}.html", _summarize_page(name, run)) for name in pages],
        steps=Table(
            ("step", "what it does", "seconds"),
            [(name, titles[name], f"{seconds:.1f}") for name, seconds in durations_s.items()],
        ),
        total=f"{total:.0f} s" if total < 600 else f"{total / 60:.0f} min",
        lineage=Table(("of", "digest or name"), list(_list_lineage(run).items())),
    )


def _describe_result(run: _RunRecord, failed: FailedStep | None) -> tuple[str, str, str]:
    """Title, first sentence and tone."""
    if failed:
        return f"The run ended at {failed.name}", "The step failed; the champion is as it was.", "bad"
    outcome = run.decision.get("outcome")
    if outcome is None:
        return "The run was stopped before its evaluation", "Nothing was decided.", ""
    reason = run.promotion.get("reason") or run.decision["reason"]
    return f"{outcome}: {_name_model(run)}", f"{reason}.", _TONES[outcome]


def _advise(run: _RunRecord, failed: FailedStep | None) -> str:
    """What to do next; empty where nothing is to be done."""
    if failed or not run.decision:
        return ""
    if run.decision["outcome"] == "ERROR":
        return "Fix what could not be computed, and run again."
    if run.decision["outcome"] == "HOLD" and not run.promotion.get("promoted"):
        version = run.version.get("version", "VERSION")
        return (
            "Read the evaluation page; if the loss is intended, promote the version by "
            f'recap promote {version} --approve "REASON".'
        )
    return ""


def _name_model(run: _RunRecord) -> str:
    if run.version:
        return f"{run.version['name']} version {run.version['version']}"
    return "the candidate"


def _list_facts(run: _RunRecord) -> dict[str, str]:
    snapshot, facts = run.snapshot, {}
    if snapshot:
        facts["window"] = f"{snapshot['first_day']} to {snapshot['last_day']}"
        facts["log"] = snapshot["data_root"]
        champion = snapshot.get("champion")
        facts["champion at the start"] = f"version {champion['version']}" if champion else "none"
    if run.promotion:
        facts["champion now"] = f"version {run.promotion['to']}" if run.promotion["to"] else "none"
    if run.version:
        facts["version"] = f"{run.version['name']} {run.version['version']}"
    if snapshot:
        facts["run"] = snapshot["run_id"]
    return facts


def _summarize_page(name: str, run: _RunRecord) -> str:
    """A sentence on a page's content."""
    if name == "data" and run.validation:
        failures = [rule for rule in run.validation["rules"] if not rule["success"]]
        outcome = f"{len(failures)} warnings" if failures else "every rule holds"
        drift = run.validation.get("drift", {})
        compared = (
            f"; {drift['beyond']} of {drift['compared']} columns drifted" if "compared" in drift else ""
        )
        return f"{run.validation['rows']:,} rows, {outcome}{compared}"
    if name == "data":
        return "what is wrong with the log, and where"
    if name == "training" and run.model:
        return f"{run.model['steps']:,} steps, {run.model['epochs']} epochs, {run.model['rows']:,} rows"
    if name == "calibration":
        changed = sum(task.get("method") not in (None, "none") for task in run.calibration.values())
        return f"{changed} of {len(run.calibration)} task{'s' * (len(run.calibration) != 1)} corrected"
    if name == "evaluation" and run.decision:
        rules = run.decision["rules"]
        failed = sum(rule["verdict"] in ("fail", "error") for rule in rules)
        return (
            f"{failed} of {len(rules)} rules of the gate fail" if failed else f"all {len(rules)} rules hold"
        )
    if name == "history":
        return "versions and their decisions, metrics and costs over time"
    return ""


def _list_lineage(run: _RunRecord) -> dict[str, str]:
    lineage = {
        "code": run.snapshot.get("source_revision"),
        "config": run.snapshot.get("config_digest"),
        "data": run.model.get("snapshot"),
        "training set": run.model.get("train_set"),
        "calibration set": run.model.get("calibration_set"),
        "test set": run.decision.get("test_data"),
        "started from": run.model.get("warm_start"),
        "gate": run.decision.get("policy"),
        "decision": run.decision.get("digest"),
        "model": run.version.get("model_digest"),
        "MLflow run": run.version.get("run_id"),
    }
    return {name: str(value) for name, value in lineage.items() if value}
