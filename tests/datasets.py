"""The three sets of a tiny log, for tests of the steps behind prepare."""

import json
from dataclasses import dataclass
from pathlib import Path

from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import file_contents
from components.common.storage.parquet import count_rows, hash_content
from components.prepare.prepare import prepare_datasets
from recap_model.config import RecapConfig
from tests.components.snapshots import snapshot_of


@dataclass(frozen=True)
class TinySets:
    snapshot: Path
    train: Path
    calibration: Path
    test: Path
    validated: Path


def mark_validated(snapshot: Path, folder: Path) -> Path:
    """A folder that says that this snapshot passed validation."""
    frozen, _ = Snapshot.read(snapshot)
    frozen = count_rows(frozen).with_files(
        lambda file: file.model_copy(update={"sha256": hash_content(frozen, file)})
    )
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "format": "recap-validated/1",
        "snapshot": frozen.digest,
        "rows": frozen.rows,
        "verdict": "passed",
        "files": file_contents(frozen),
    }
    (folder / "_manifest.json").write_text(json.dumps(manifest))
    drift = {"state": "no_baseline", "against": "the champion", "reason": "there is no champion yet"}
    verdict = {"snapshot": frozen.digest, "verdict": "passed", "drift": drift, "rules": []}
    (folder / "verdict.json").write_text(json.dumps(verdict))
    return folder


def build_tiny(folder: Path, config: RecapConfig, root: Path, **snapshot_fields) -> TinySets:
    """Build the sets of the log under ``root`` into ``folder``."""
    snapshot = snapshot_of(root, config, folder / "snapshot", **snapshot_fields)
    validated = mark_validated(snapshot, folder / "validated")
    sets = TinySets(snapshot, folder / "train", folder / "calibration", folder / "test", validated)
    prepare_datasets(snapshot, validated, sets.train, sets.calibration, sets.test)
    return sets
