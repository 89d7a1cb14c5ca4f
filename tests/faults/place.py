"""A folder with a run of the pipeline, each of whose steps can be done again, to the same end."""

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
from components.evaluate.evaluate import evaluate_model
from components.prepare.prepare import prepare_datasets
from components.promote import promote
from components.promote.promotion_log import read_promotions
from components.register import register as registering
from components.resolve.resolve import resolve_run
from components.steps import STEPS as TABLE
from components.train.train import train_model
from components.validate.validate import validate_snapshot
from tests.components.registries import NAME, PROOF, new_registry
from tests.tiny import tiny_config, write_tiny_log

STEPS = [step.name for step in TABLE]
"""In the order of the data's way."""

WITH_REGISTRY = ("resolve", "train", "evaluate", "register", "promote")
"""Steps that ask the registry, or, as training does, tell it how far they are."""

_TRAINING = {"batch_size": 32, "epochs": 6, "checkpoint": {"every_steps": 5}}
_GATE = {"min_rows": 50, "min_positives": 5, "floors": {"min_auc": 0.0}, "max_score_psi": None}
# The second run is to be promoted over the first, though they are models of the same rows.
_NO_WORSE = {"promote_if": "no_worse", "max_rce_loss": 100.0, "max_slice_rce_loss": None}


class Place:
    """What a step reads is in ``given``, as the steps before it left it; what it writes goes to ``out``.

    The registry's version 1 is champion; the run that is disturbed is the second one.

    Args:
        uri: of a server of a registry, in the place of SQLite in ``workspace``; it keeps all in ``server``.
    """

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        self.folder = folder
        self.given, self.out, self.workspace = (folder / name for name in ("given", "out", "workspace"))
        self.uri = uri or registry.default_tracking_uri(self.workspace)
        self.database = (self.workspace if uri is None else folder / "server") / "mlflow.db"

    def prepare(self) -> None:
        """Write a log, run the pipeline on it twice, and keep what the second run's steps left.

        In a process of its own: one that was connected to a registry remembers what was in it.
        """
        write_tiny_log(self.folder / "log", days=5, rows=200, files=2)
        config = tiny_config(
            training=_TRAINING,
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
                self._give(step)

    def run(self, step: str, run: str = "run-2") -> None:
        """Do a step, from ``given`` to ``out``."""
        registering.load_and_score = lambda *_: PROOF
        given, out = self.given, self.out
        works: dict[str, Callable[[], object]] = {
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
        }
        works[step]()

    def inputs(self, step: str) -> list[Path]:
        """Files that a step reads, the log's and the registry's left out."""
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

    def put_back(self, step: str) -> None:
        """Have nothing of a step in ``out``, and the registry as it was before it."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        kept = self.folder / f"before-{step}.db"
        if kept.is_file() and self.database.parent != self.workspace:
            _copy_database(kept, self.database)
        elif kept.is_file():
            for left in self.workspace.glob("mlflow.db*"):
                left.unlink()
            shutil.copyfile(kept, self.workspace / "mlflow.db")
            shutil.rmtree(self.workspace / "artifacts", ignore_errors=True)
            shutil.copytree(self.folder / f"before-{step}.artifacts", self.workspace / "artifacts")

    def outcome(self, step: str) -> dict[str, Any]:
        """All that a step leaves that does not tell of the time or of the attempt: files by digest, the registry."""
        found: dict[str, Any] = {}
        for path in sorted(self.out.rglob("*")):
            name = str(path.relative_to(self.out))
            if path.is_file() and not name.startswith("model.checkpoints/"):
                found[name] = hashlib.sha256(_timeless(path)).hexdigest()
        if step in ("register", "promote"):
            client = registry.connect(self.uri)
            found["aliases"] = registry.aliases(client, NAME)
            found["versions"] = [str(one.version) for one in registry.versions(client, NAME)]
            found["moves"] = [[move.source, move.to, move.applied] for move in read_promotions(client, NAME)]
        return found

    def _keep_registry(self, step: str) -> None:
        if self.database.is_file():
            _copy_database(self.database, self.folder / f"before-{step}.db")
            artifacts, kept = self.database.parent / "artifacts", self.folder / f"before-{step}.artifacts"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(artifacts, kept) if artifacts.is_dir() else kept.mkdir()

    def _give(self, step: str) -> None:
        """Move what a step left to where the next ones read it."""
        self.given.mkdir(exist_ok=True)
        for path in self.out.iterdir():
            target = self.given / path.name
            shutil.rmtree(target, ignore_errors=True)
            target.unlink(missing_ok=True)
            shutil.move(path, target)


def _copy_database(source: Path, target: Path) -> None:
    """The content of one SQLite database to another, which a server may have open."""
    with closing(sqlite3.connect(source)) as content, closing(sqlite3.connect(target)) as other:
        content.backup(other)


def _timeless(path: Path) -> bytes:
    """A file's content without what differs between two attempts that came out the same."""
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
