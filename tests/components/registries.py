"""A registry on SQLite, and the inputs of register, for tests of the registry's steps and commands."""

import functools
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from components.artifacts import registry
from components.artifacts.decision import DecidedAgainst, Decision, Outcome
from components.artifacts.model import MANIFEST_NAME, ModelManifest
from components.artifacts.snapshot import Snapshot
from components.artifacts.version import Proof, RegisteredVersion
from recap_model import create_ranking_model, data_spec, save_model
from tests.components.snapshots import snapshot_of
from tests.tiny import tiny_config, write_tiny_log

NAME = "tiny"
PROOF = Proof(
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


@dataclass(frozen=True)
class Inputs:
    """What the steps before register leave of one run."""

    snapshot: Path
    model: Path
    evaluation: Path
    validated: Path


def run_outputs(
    folder: Path,
    uri: str,
    run_id: str = "run-1",
    outcome: Outcome = "PROMOTE",
    against: str | None = None,
    seed: int = 0,
) -> Inputs:
    """A snapshot, an untrained model, and an evaluation with the given decision, in ``folder``."""
    config = tiny_config()
    log = folder.parent / "log"
    if not log.is_dir():
        write_tiny_log(log, days=2, rows=50)
    inputs = Inputs(folder / "snapshot", folder / "model", folder / "evaluation", folder / "validated")
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
    )
    manifest.write(inputs.model)
    write_evaluation(inputs, outcome, against)
    inputs.validated.mkdir()
    (inputs.validated / "verdict.json").write_text("{}")
    return inputs


def write_evaluation(inputs: Inputs, outcome: Outcome, against: str | None = None) -> Decision:
    """An evaluation with a decision on the inputs' model, as far as the registry's steps read it."""
    snapshot, _ = Snapshot.read(inputs.snapshot)
    decision = Decision(
        outcome=outcome,
        reason=f"the gate said {outcome}.",
        rules=[],
        champion=DecidedAgainst(name=NAME, version=against) if against else None,
        candidate=hashlib.sha256((inputs.model / MANIFEST_NAME).read_bytes()).hexdigest(),
        test_data="t",
        snapshot=snapshot.digest,
        policy="p",
        run_id=snapshot.run_id,
    ).seal()
    folder = inputs.evaluation
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "decision.json").write_text(decision.model_dump_json())
    (folder / "metrics.json").write_text(
        '{"tasks": {"like": {"auc": 0.75, "rce": 4.0}, "reply": {"auc": null}}}'
    )
    (folder / "report.html").write_text("<!doctype html><title>report</title>")
    return decision


def register(inputs: Inputs, out: Path) -> RegisteredVersion:
    """Register what `run_outputs` wrote."""
    from components.register.register import register_version

    return register_version(inputs.snapshot, inputs.model, inputs.evaluation, inputs.validated, out)
