"""A registry on SQLite, and the inputs of register, for tests of the registry's steps and commands."""

import functools
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from components.common import registry
from components.common.artifacts.decision import DecidedAgainst, Decision, Outcome, Rule
from components.common.artifacts.model_manifest import MANIFEST_NAME, TRAINING_LOG_NAME, ModelManifest
from components.common.artifacts.registered_version import LoadTestResult, RegisteredVersion
from components.common.artifacts.snapshot import Snapshot
from components.common.scoring.score_test_set import score_test_set
from recap_model import create_ranking_model, data_spec, save_model
from recap_model.data.dataset.manifest import DatasetManifest
from tests.components.snapshots import snapshot_of
from tests.datasets import build_tiny, mark_validated
from tests.tiny import tiny_config, write_tiny_log

NAME = "tiny"
FAILED = [Rule(name="rule", status="fail", words="it does not hold")]
TRAINED = {
    "step": 10,
    "loss": 0.5,
    "rows_per_s": 100.0,
    "losses": {"like": 0.4},
    "learning_rates": {"shared": 0.01},
}
VERDICT = {
    "verdict": "warnings",
    "drift": {"state": "drifted", "beyond": 2, "columns": [{"excess": 2.0}, {"excess": 0.5}]},
}
PROOF = LoadTestResult(
    rows=1, worst_difference=0, load_s=1, median_latency_ms=1, worst_latency_ms=1, peak_memory_mib=1
)


@functools.cache
def _empty_database() -> Path:
    """MLflow's tables take a second to create, so they are created once and copied."""
    folder = Path(tempfile.mkdtemp(prefix="recap-registry-"))
    registry.connect(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


def new_registry(folder: Path) -> str:
    """A tracking URI of an empty registry in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_empty_database(), folder / "mlflow.db")
    return registry.default_tracking_uri(folder)


@functools.cache
def shared_test_set() -> Path:
    """Half of the log's rows; every run has the same."""
    folder = Path(tempfile.mkdtemp(prefix="recap-sets-"))
    config = tiny_config(data={"days": 2, "split": {"by": "time", "test_share": 0.5}})
    return build_tiny(folder, config, _log(folder / "log")).test


def _log(place: Path) -> Path:
    return write_tiny_log(place, days=2, rows=50)


@dataclass(frozen=True)
class Inputs:
    """What the steps before register leave of one run."""

    snapshot: Path
    model: Path
    evaluation: Path
    validated: Path
    test_set: Path


def run_outputs(
    folder: Path,
    uri: str,
    run_id: str = "run-1",
    outcome: Outcome = "PROMOTE",
    against: str | None = None,
    seed: int = 0,
    rules: list[Rule] | None = None,
    warm_start: str | None = None,
    **registry_fields: Any,
) -> Inputs:
    """A snapshot, an untrained model, and an evaluation with the given decision, in ``folder``."""
    config = tiny_config(registry={"model_name": NAME, "experiment": NAME, **registry_fields})
    log = folder.parent / "log"
    if not log.is_dir():
        _log(log)
    inputs = Inputs(
        folder / "snapshot", folder / "model", folder / "evaluation", folder / "validated", shared_test_set()
    )
    snapshot_of(log, config, inputs.snapshot, tracking_uri=uri, run_id=run_id)
    torch.manual_seed(seed)
    save_model(create_ranking_model(data_spec(config), config, "cpu"), inputs.model, config)
    manifest = ModelManifest(
        snapshot="s",
        config_digest="c",
        train_set="t",
        rows=1,
        steps=1,
        epochs=1,
        seed=0,
        precision="fp32",
        losses={},
        warm_start=warm_start,
    )
    (inputs.model / TRAINING_LOG_NAME).write_text(json.dumps(TRAINED) + "\n")
    manifest.write(inputs.model)
    write_evaluation(inputs, outcome, against, rules)
    mark_validated(inputs.snapshot, inputs.validated)
    (inputs.validated / "verdict.json").write_text(json.dumps(VERDICT))
    return inputs


def write_evaluation(
    inputs: Inputs, outcome: Outcome, against: str | None = None, rules: list[Rule] | None = None
) -> Decision:
    """An evaluation with a decision on the inputs' model, as far as the registry's steps read it."""
    snapshot, _ = Snapshot.read(inputs.snapshot)
    folder = inputs.evaluation
    folder.mkdir(parents=True, exist_ok=True)
    decision = Decision(
        outcome=outcome,
        reason=f"the gate said {outcome}.",
        rules=FAILED if rules is None and outcome != "PROMOTE" else rules or [],
        champion=DecidedAgainst(name=NAME, version=against) if against else None,
        candidate=hashlib.sha256((inputs.model / MANIFEST_NAME).read_bytes()).hexdigest(),
        test_data=DatasetManifest.read(inputs.test_set).fingerprint,
        snapshot=snapshot.digest,
        policy="p",
        run_id=snapshot.run_id,
    ).seal()
    _, config = Snapshot.read(inputs.snapshot)
    score_test_set(inputs.model, inputs.test_set, config, None, folder / "scores.parquet")
    (folder / "decision.json").write_text(decision.model_dump_json())
    (folder / "metrics.json").write_text(
        '{"tasks": {"like": {"auc": 0.75, "rce": 4.0}, "reply": {"auc": null}}}'
    )
    (folder / "report.html").write_text("<!doctype html><title>report</title>")
    return decision


def register(inputs: Inputs, out: Path) -> RegisteredVersion:
    """Register what `run_outputs` wrote."""
    from components.register.register import register_version

    return register_version(
        inputs.snapshot, inputs.model, inputs.evaluation, inputs.validated, inputs.test_set, out
    )
