"""A finished run of the pipeline in a folder, each of whose steps can be reset and run again."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from components.calibrate.calibrate import calibrate_model
from components.common import registry
from components.common.registry.promotion import move_champion, rollback
from components.common.registry.promotion.promotion_log import read_promotions
from components.evaluate.evaluate import evaluate_model
from components.prepare.prepare import prepare_datasets
from components.promote import manual, promote
from components.register import register as registering
from components.resolve.resolve import resolve_run
from components.steps import STEPS as TABLE
from components.train.train import train_model
from components.validate.validate import validate_snapshot
from tests.components.registries import NAME, PROOF, new_registry
from tests.components.train.configs import resumable_config
from tests.tiny import write_tiny_log

STEPS = [step.name for step in TABLE]
WORK = [*STEPS, "rollback"]
"""The steps in order, and a person's rollback after them."""

READS_REGISTRY = ("resolve", "train", "evaluate")
"""Steps that read from the registry, or, as training does, report their progress to it."""

WRITES_REGISTRY = ("register", "promote", "rollback")

_LEASE_S = 0.3  # instead of seconds: a second attempt waits for it where the first was killed
_GATE = {"min_rows": 50, "min_positives": 5, "floors": {"min_auc": 0.0}, "max_score_psi": None}
# So that the second run is promoted over the first, though both are models of the same rows.
_NO_WORSE = {"promote_if": "no_worse", "max_rce_loss": 100.0, "max_slice_rce_loss": None}


class PipelineRun:
    """A step reads from ``given``, where the steps before it left their outputs, and writes to ``out``.

    The registry's version 1 is champion; the run whose steps can be run again is the second one.

    Args:
        uri: of a registry's server, which keeps its files in ``server``; by default SQLite in ``workspace``.
    """

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        self.folder = folder
        self.given, self.out, self.workspace = (folder / name for name in ("given", "out", "workspace"))
        self.uri = uri or registry.default_tracking_uri(self.workspace)
        self.database = (self.workspace if uri is None else folder / "server") / "mlflow.db"

    def prepare(self) -> None:
        """Write a log, run the pipeline on it twice, and keep the second run's outputs.

        In a process of its own: a connection to a registry remembers its content.
        """
        write_tiny_log(self.folder / "log", days=5, rows=200, files=2)
        config = resumable_config(
            epochs=6,
            batch_size=32,
            every_steps=5,
            calibration={"on_one_class": "keep"},
            evaluation={"bootstrap_replicates": 20, "gate": {**_GATE, **_NO_WORSE}},
            registry={"model_name": NAME, "experiment": NAME},
        )
        (self.folder / "config.yaml").write_text(config.to_yaml())
        if self.uri.startswith("sqlite:"):
            new_registry(self.workspace)
        for run in ("run-1", "run-2"):
            for step in STEPS:
                self._keep_registry(step)
                self.out.mkdir(exist_ok=True)
                self.run(step, run)
                self._keep_outputs()
        self._keep_registry("rollback")

    def run(self, step: str, run: str = "run-2") -> None:
        """Run a step, from ``given`` to ``out``. Load tests are skipped: they write nothing, and take seconds."""
        registering.load_and_score = manual.load_and_score = rollback.load_and_score = lambda *_: PROOF  # type: ignore[assignment]
        move_champion.LEASE_S = _LEASE_S
        given, out = self.given, self.out
        work: dict[str, Callable[[], object]] = {
            "resolve": lambda: resolve_run(
                self.folder / "config.yaml",
                str(self.folder / "log"),
                out / "snapshot",
                tracking_uri=self.uri,
                run_id=run,
            ),
            "validate": lambda: validate_snapshot(given / "snapshot", out / "validated", out / "data.html"),
            "prepare": lambda: prepare_datasets(
                given / "snapshot",
                given / "validated",
                *(out / name for name in ("train", "calibration", "test")),
            ),
            "train": lambda: train_model(
                given / "snapshot", given / "train", out / "model", out / "curves.html"
            ),
            "calibrate": lambda: calibrate_model(
                given / "snapshot", given / "model", given / "calibration", out / "calibrated"
            ),
            "evaluate": lambda: evaluate_model(
                given / "snapshot",
                given / "calibrated",
                given / "test",
                given / "validated",
                out / "evaluation",
            ),
            "register": lambda: registering.register_version(
                given / "snapshot",
                given / "calibrated",
                given / "evaluation",
                given / "validated",
                given / "test",
                out / "version",
            ),
            "promote": lambda: promote.promote_version(
                given / "version", given / "evaluation", out / "promotion"
            ),
            "rollback": self._roll_back,
        }
        work[step]()

    def _roll_back(self) -> None:
        """Roll back; a rollback that was completed before is refused, which is not an error here."""
        try:
            rollback.roll_back(registry.connect(self.uri), NAME)
        except registry.RegistryError as error:
            if "rolled back already" not in str(error):
                raise

    def inputs(self, step: str) -> list[Path]:
        """Files that a step reads; not the registry's."""
        names = {
            "resolve": [],
            "validate": ["snapshot"],
            "prepare": ["snapshot", "validated"],
            "train": ["snapshot", "train", "train.rows"],
            "calibrate": ["snapshot", "model", "calibration", "calibration.rows"],
            "evaluate": ["snapshot", "calibrated", "test", "test.rows", "validated"],
            "register": ["snapshot", "calibrated", "evaluation"],
            "promote": ["version", "evaluation"],
        }
        roots = [self.given / name for name in names[step]]
        if step in ("resolve", "validate", "prepare"):
            roots.append(self.folder / "log")
        files = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*")))]
        return [path for path in files if path.is_file()]

    def reset(self, step: str) -> None:
        """Empty ``out``, and restore the registry as it was before the step."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        kept = self.folder / f"before-{step}.db"
        if kept.is_file() and self.database.parent != self.workspace:
            _copy_database(kept, self.database)
        elif kept.is_file():
            for path in self.workspace.glob("mlflow.db*"):
                path.unlink()
            shutil.copyfile(kept, self.workspace / "mlflow.db")
            shutil.rmtree(self.workspace / "artifacts", ignore_errors=True)
            shutil.copytree(self.folder / f"before-{step}.artifacts", self.workspace / "artifacts")

    def outcome(self, step: str) -> dict[str, Any]:
        """Everything that a step leaves, without times and rates: files by digest, and the registry's content."""
        outcome: dict[str, Any] = {}
        for path in sorted(self.out.rglob("*")):
            name = str(path.relative_to(self.out))
            if path.is_file():
                outcome[name] = hashlib.sha256(_without_times(path)).hexdigest()
        if step in WRITES_REGISTRY:
            client = registry.connect(self.uri)
            outcome["aliases"] = registry.aliases(client, NAME)
            outcome["versions"] = [
                [str(one.version), sorted(one.tags)] for one in registry.versions(client, NAME)
            ]
            outcome["promotions"] = [
                [one.source, one.to, one.why, one.applied] for one in read_promotions(client, NAME)
            ]
            experiment = client.get_experiment_by_name(NAME).experiment_id
            runs = [
                [run.info.run_name, run.info.status, run.data.params, run.data.metrics]
                for run in client.search_runs([experiment])
            ]
            outcome["runs"] = sorted(runs, key=str)
        return outcome

    def _keep_registry(self, step: str) -> None:
        if self.database.is_file():
            _copy_database(self.database, self.folder / f"before-{step}.db")
            artifacts, kept = self.database.parent / "artifacts", self.folder / f"before-{step}.artifacts"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(artifacts, kept) if artifacts.is_dir() else kept.mkdir()

    def _keep_outputs(self) -> None:
        """Move a step's outputs to where the next ones read them."""
        self.given.mkdir(exist_ok=True)
        for path in self.out.iterdir():
            target = self.given / path.name
            shutil.rmtree(target, ignore_errors=True)
            target.unlink(missing_ok=True)
            shutil.move(path, target)


def _copy_database(source: Path, target: Path) -> None:
    """Copy one SQLite database into another, which a server may have open."""
    with closing(sqlite3.connect(source)) as content, closing(sqlite3.connect(target)) as other:
        content.backup(other)


def _without_times(path: Path) -> bytes:
    """A file's content without times and rates."""
    content = path.read_bytes()
    match path.name:
        case "training.jsonl":
            lines = [json.loads(line) for line in content.splitlines()]
            return json.dumps([[line["step"], line["loss"], line["losses"]] for line in lines]).encode()
        case "curves.html":
            return b""
        case "version.json":
            return json.dumps(json.loads(content)["version"]).encode()
        case "_manifest.json" if path.parent.name == "model":
            manifest = json.loads(content)
            manifest["files"].pop("training.jsonl")
            return json.dumps(manifest).encode()
    return content
