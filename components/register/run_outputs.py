"""The outputs of a run's earlier steps, checked to belong together."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.common import registry
from components.common.artifacts.decision import Decision
from components.common.artifacts.model_manifest import MANIFEST_NAME, ModelManifest
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import check_validated
from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.file_digests import file_digest

IMAGES_VARIABLE = "RECAP_IMAGES"  # JSON: the image of each kind of step, by digest where it is pinned


@dataclass(frozen=True)
class RunOutputs:
    """One pipeline run's outputs. ``reports`` are pages by name."""

    snapshot: Snapshot
    config: RecapConfig
    decision: Decision
    manifest: ModelManifest
    model: Path
    evaluation: Path
    validated: Path
    test_set: Path
    reports: Mapping[str, Path]

    @property
    def window(self) -> str:
        return f"{self.snapshot.first_day}..{self.snapshot.last_day}"

    @property
    def name(self) -> str:
        return self.config.registry.model_name

    def tags(self) -> dict[str, str]:
        """Tags of the version, and of its MLflow run."""
        compared = self.decision.champion
        anchor = self.decision.anchor
        anchored = (
            {registry.ANCHOR_TAG: anchor.version, registry.BETTER_TAG: "yes" if anchor.better else "no"}
            if anchor
            else {}
        )
        approval = {registry.APPROVAL_TAG: "person"} if self.config.registry.require_approval else {}
        return {
            registry.PIPELINE_RUN_TAG: self.snapshot.run_id,
            registry.WINDOW_TAG: self.window,
            registry.OUTCOME_TAG: self.decision.outcome,
            registry.DECISION_TAG: self.decision.digest,
            registry.COMPARED_TAG: compared.version if compared else "none",
            **anchored,
            **approval,
        }

    def lineage(self, scores: str) -> dict[str, object]:
        """The version's lineage, for its artifacts.

        Args:
            scores: permanent location of the test rows' scores.
        """
        images = os.environ.get(IMAGES_VARIABLE)
        return {
            "data_digest": self.snapshot.data_digest,
            "config_digest": self.snapshot.config_digest,
            "policy_digest": self.decision.policy,
            "source_revision": self.snapshot.source_revision,
            "parent": self.manifest.warm_start,
            "images": json.loads(images) if images else None,
            "train_set": self.manifest.train_set,
            "calibration_set": self.manifest.calibration_set,
            "test_set": self.decision.test_data,
            "scores": scores,
        }


def read_outputs(
    snapshot: str | Path,
    model: str | Path,
    evaluation: str | Path,
    validated: str | Path,
    test_set: str | Path,
    reports: Mapping[str, str | Path],
) -> RunOutputs:
    """Read the inputs of register.

    Raises:
        FileNotFoundError: an input is missing or incomplete.
        ValueError: the decision is on another model, other test rows, or another run's data.
    """
    frozen, config = Snapshot.read(snapshot)
    frozen = check_validated(validated, frozen)
    run = RunOutputs(
        frozen,
        config,
        Decision.read(evaluation),
        ModelManifest.read(model),
        Path(model),
        Path(evaluation),
        Path(validated),
        Path(test_set),
        {name: Path(path) for name, path in reports.items()},
    )
    _check_belongs(run)
    return run


def _check_belongs(run: RunOutputs) -> None:
    """Raise ValueError unless the decision is on this model, these test rows, and this snapshot's data."""
    manifest = file_digest(run.model, MANIFEST_NAME)
    if run.decision.candidate != manifest:
        raise ValueError(
            f"{run.evaluation}: its decision is on another model than {run.model}; run evaluate on this model"
        )
    if (run.decision.snapshot, run.decision.run_id) != (run.snapshot.digest, run.snapshot.run_id):
        raise ValueError(
            f"{run.evaluation}: its decision is of run {run.decision.run_id}, the snapshot of run "
            f"{run.snapshot.run_id}; give outputs of one run"
        )
    if run.decision.test_data != DatasetManifest.read(run.test_set).fingerprint:
        raise ValueError(
            f"{run.evaluation}: its decision is on other rows than {run.test_set}; give outputs of one run"
        )
