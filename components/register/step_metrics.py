"""Parameters and metrics of each step, for the MLflow run of a pipeline run."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.model_manifest import CALIBRATION_REPORT_NAME, TRAINING_LOG_NAME
from components.common.artifacts.validation_result import RESULT_NAME
from components.register.run_outputs import RunOutputs
from recap_model.data.dataset.manifest import DatasetManifest

_LONGEST = 500  # of a parameter in MLflow


@dataclass(frozen=True)
class StepRecord:
    """A step's parameters and metrics."""

    name: str
    parameters: Mapping[str, object]
    metrics: Mapping[str, float] = field(default_factory=dict)


def step_records(run: RunOutputs) -> Iterator[StepRecord]:
    """Records of the steps before register, in their order."""
    snapshot, manifest = run.snapshot, run.manifest
    test = DatasetManifest.read(run.test_set)
    files = [file for part in snapshot.partitions for file in part.files]
    window = {
        "window": run.window,
        "data_digest": snapshot.data_digest,
        "missing_days": len(snapshot.missing_days),
    }
    champion = snapshot.champion.version if snapshot.champion else "none"
    yield StepRecord(
        "resolve",
        {**window, "champion": champion},
        {"files": len(files), "rows": snapshot.rows, "bytes": sum(file.bytes for file in files)},
    )
    verdict = _json(run.validated / RESULT_NAME)
    drift = verdict.get("drift", {})
    yield StepRecord(
        "validate",
        {"verdict": verdict.get("verdict", "unknown"), "drift": drift.get("state", "unknown")},
        {"rules": len(verdict.get("rules", [])), "columns_drifted": drift.get("beyond", 0)},
    )
    positives = {f"positives/{task}": float(count.positives) for task, count in test.counts.items()}
    sets = {"train_set": manifest.train_set, "calibration_set": manifest.calibration_set or "none"}
    labels = {f"label/{task}": words[:_LONGEST] for task, words in run.config.derived_labels().items()}
    yield StepRecord(
        "prepare",
        {**sets, "test_set": test.fingerprint, **labels},
        {"test_rows": test.rows, **positives},
    )
    trained = {
        "steps": manifest.steps,
        "epochs": manifest.epochs,
        "seed": manifest.seed,
        "precision": manifest.precision,
        "batch_size": run.config.training.batch_size,
        "parent": manifest.warm_start or "none",
    }
    yield StepRecord("train", trained, {"rows": manifest.rows, **_final_metrics(run)})
    yield _calibration_record(run)
    decided = {
        "outcome": run.decision.outcome,
        "reason": run.decision.reason[:_LONGEST],
        "policy": run.decision.policy,
    }
    failed = sum(rule.status in ("fail", "error") for rule in run.decision.rules)
    counts = {"rules": len(run.decision.rules), "rules_that_failed": failed}
    yield StepRecord("evaluate", decided, {**counts, **Evaluation.read(run.evaluation).headline()})


def _calibration_record(run: RunOutputs) -> StepRecord:
    """Each task's calibrator, and its predicted over observed rate on the calibration set."""
    report = _json(run.model / CALIBRATION_REPORT_NAME)
    methods = {f"method/{task}": one["method"] for task, one in report.items()}
    ratios = {
        f"predicted_over_observed/{task}": one["after"]["predicted_over_observed"]
        for task, one in report.items()
        if one["after"]  # None without a label
    }
    return StepRecord(
        "calibrate", methods, {name: ratio for name, ratio in ratios.items() if ratio is not None}
    )


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _final_metrics(run: RunOutputs) -> dict[str, float]:
    """Losses and speed of training's last report; the curves are in the parent run."""
    path = run.model / TRAINING_LOG_NAME
    lines = path.read_text().splitlines() if path.is_file() else []
    if not lines:
        return {}
    last: dict[str, Any] = json.loads(lines[-1])
    losses = {f"losses/{task}": float(loss) for task, loss in last["losses"].items()}
    return {"loss": float(last["loss"]), "rows_per_s": float(last["rows_per_s"]), **losses}
