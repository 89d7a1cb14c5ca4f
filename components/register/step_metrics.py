"""What is told of each step in the MLflow run of a pipeline run."""

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


@dataclass(frozen=True)
class StepTold:
    """A step's own parameters and figures."""

    name: str
    parameters: Mapping[str, object]
    metrics: Mapping[str, float] = field(default_factory=dict)


def told_of_steps(run: RunOutputs) -> Iterator[StepTold]:
    """The steps before register, in their order, as far as their outputs tell of them."""
    snapshot, manifest = run.snapshot, run.manifest
    test = DatasetManifest.read(run.test_set)
    files = [file for part in snapshot.partitions for file in part.files]
    window = {
        "window": run.window,
        "data_digest": snapshot.digest,
        "missing_days": len(snapshot.missing_days),
    }
    champion = snapshot.champion.version if snapshot.champion else "none"
    yield StepTold(
        "resolve",
        {**window, "champion": champion},
        {"files": len(files), "rows": snapshot.rows, "bytes": sum(file.bytes for file in files)},
    )
    verdict = _json(run.validated / RESULT_NAME)
    drift = verdict.get("drift", {})
    yield StepTold(
        "validate",
        {"verdict": verdict.get("verdict", "unknown"), "drift": drift.get("state", "unknown")},
        {"rules": len(verdict.get("rules", [])), "columns_drifted": drift.get("beyond", 0)},
    )
    positives = {f"positives/{task}": float(count.positives) for task, count in test.counts.items()}
    sets = {"train_set": manifest.train_set, "calibration_set": manifest.calibration_set or "none"}
    yield StepTold("prepare", {**sets, "test_set": test.fingerprint}, {"test_rows": test.rows, **positives})
    trained = {
        "steps": manifest.steps,
        "epochs": manifest.epochs,
        "seed": manifest.seed,
        "precision": manifest.precision,
        "batch_size": run.config.training.batch_size,
        "parent": manifest.warm_start or "none",
    }
    yield StepTold("train", trained, {"rows": manifest.rows, **_at_the_end(run)})
    yield _calibrated(run)
    decided = {
        "outcome": run.decision.outcome,
        "reason": run.decision.reason[:500],
        "policy": run.decision.policy,
    }
    failed = sum(rule.verdict in ("fail", "error") for rule in run.decision.rules)
    counts = {"rules": len(run.decision.rules), "rules_that_failed": failed}
    yield StepTold("evaluate", decided, {**counts, **Evaluation.read(run.evaluation).headline()})


def _calibrated(run: RunOutputs) -> StepTold:
    """Each task's calibrator, and predicted over observed on the calibration set with it."""
    told = _json(run.model / CALIBRATION_REPORT_NAME)
    methods = {f"method/{task}": one["method"] for task, one in told.items()}
    ratios = {
        f"predicted_over_observed/{task}": one["after"]["predicted_over_observed"]
        for task, one in told.items()
        if one["after"]  # None without a label
    }
    return StepTold(
        "calibrate", methods, {name: ratio for name, ratio in ratios.items() if ratio is not None}
    )


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _at_the_end(run: RunOutputs) -> dict[str, float]:
    """Losses and speed of training's last report; the curves are on the run that this one is nested in."""
    path = run.model / TRAINING_LOG_NAME
    lines = path.read_text().splitlines() if path.is_file() else []
    if not lines:
        return {}
    last: dict[str, Any] = json.loads(lines[-1])
    losses = {f"losses/{task}": float(loss) for task, loss in last["losses"].items()}
    return {"loss": float(last["loss"]), "rows_per_s": float(last["rows_per_s"]), **losses}
