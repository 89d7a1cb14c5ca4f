"""The manifest of a trained model: its origin and the digest of each of its files.

A model is a folder with the files of `recap_model.save_model`, ``training.jsonl`` and this manifest, written last: a
folder without a manifest is incomplete.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt

from components.common.runtime.atomic_output import MARK_NAME
from recap_model.config.base import StrictModel
from recap_model.config.fields.uris import RelativePath
from recap_model.config.reading.errors import printable
from recap_model.file_digests import differences, folder_digests
from recap_model.json_files import read_model

MANIFEST_NAME = "_manifest.json"
TRAINING_LOG_NAME = "training.jsonl"
CALIBRATION_REPORT_NAME = "calibration_report.json"
_OTHER_FILES = (MANIFEST_NAME, MARK_NAME)


class ModelManifest(StrictModel):
    """A model's origin.

    Attributes:
        snapshot, train_set, calibration_set: digest of the snapshot's data and fingerprints of the sets; the last is
            None until the model is calibrated.
        rows, steps, epochs: trained on.
        losses: each task's mean loss over the last reported steps.
        precision: of the matrix products.
        warm_start: the model that training started from; None for random weights.
        slice_quantiles: of the training rows, by the columns that slices are made by; left out without one.
        files: SHA-256 of every other file in the folder.
    """

    format: Literal["recap-model/1"] = "recap-model/1"
    snapshot: str
    config_digest: str
    train_set: str
    calibration_set: str | None = None
    rows: NonNegativeInt
    steps: NonNegativeInt
    epochs: NonNegativeInt
    seed: int
    precision: Literal["bf16", "fp32"]
    losses: dict[str, float]
    warm_start: str | None = None
    slice_quantiles: dict[str, dict[float, float]] = Field({}, exclude_if=lambda value: not value)
    files: dict[RelativePath, str] = {}

    def write(self, folder: Path) -> "ModelManifest":
        """Write the manifest of a folder's files; returns it with their digests."""
        files = {name: digest for name, digest in folder_digests(folder).items() if name not in _OTHER_FILES}
        manifest = self.model_copy(update={"files": files})
        (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))
        return manifest

    @classmethod
    def read(cls, folder: str | Path) -> "ModelManifest":
        """Read a model's manifest and verify the files against it.

        Raises:
            FileNotFoundError: the folder has no manifest, or a file is missing.
            ValueError: the manifest has another format, or a file's digest differs.
        """
        path = Path(folder) / MANIFEST_NAME
        manifest = read_model(path, cls, "train")
        for name, change in differences(path.parent, manifest.files, ignore=_OTHER_FILES).items():
            shown = printable(str(path.parent / name))
            if change == "lost":
                raise FileNotFoundError(f"{shown}: named in the manifest, but not found; run train again")
            raise ValueError(f"{shown}: {change} since the manifest was written; run train again")
        return manifest
