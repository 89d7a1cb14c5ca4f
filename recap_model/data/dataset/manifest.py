"""The manifest of a prepared dataset: files, groups, tasks and sampling rates.

A dataset is a folder with this manifest; the rows lie where ``rows_root`` says, as Arrow IPC files with one
fixed-size-list column for each group. The manifest is written last: a folder without one is no dataset.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt

from recap_model.config.base import StrictModel
from recap_model.config.data.sequences import Sequence
from recap_model.config.fields.uris import RelativePath
from recap_model.json_files import read_model

MANIFEST_NAME = "_manifest.json"


class RowFile(StrictModel):
    """A file of rows, by its path under ``rows_root``."""

    path: RelativePath
    rows: NonNegativeInt
    bytes: NonNegativeInt
    sha256: str


class Sampling(StrictModel):
    """Sampling rates of a task's positives and negatives, over log and prepare together."""

    positive_rate: float = 1.0
    negative_rate: float = 1.0


class TaskCounts(StrictModel):
    """Rows of the dataset that have a label for a task, and how many of them are positive."""

    rows: NonNegativeInt
    positives: NonNegativeInt


class DatasetManifest(StrictModel):
    """A dataset: its rows' files, groups and tasks.

    ``groups`` maps a group to its width; ``sparse`` names the columns of id lists, and ``sequences`` has the
    sequences, each a column ``sequence.NAME.KEY`` for each of its keys.
    ``tasks`` gives the order of the ``labels`` column's entries.
    ``sampling`` has the rates that numeric calibration undoes; it is empty where weights undo them.
    ``fingerprint`` is a digest of the rows' content.
    """

    format: Literal["recap-dataset/1"] = "recap-dataset/1"
    split: Literal["train", "calibration", "test"]
    rows_root: str
    files: list[RowFile]
    rows: NonNegativeInt
    groups: dict[str, int]
    sparse: list[str] = []
    # Left out where there are none, as in datasets that were prepared before.
    sequences: dict[str, Sequence] = Field({}, exclude_if=lambda sequences: not sequences)
    tasks: list[str]
    counts: dict[str, TaskCounts]
    sampling: dict[str, Sampling] = {}
    window: tuple[str, str]
    snapshot: str
    fingerprint: str

    @classmethod
    def read(cls, folder: str | Path) -> "DatasetManifest":
        """Read a dataset's manifest; relative ``rows_root`` becomes absolute.

        Raises:
            FileNotFoundError: the folder has no manifest, so it is no finished dataset.
            ValueError: the manifest is not one of ours.
        """
        manifest = read_model(Path(folder) / MANIFEST_NAME, cls, "prepare")
        if "://" in manifest.rows_root or Path(manifest.rows_root).is_absolute():
            return manifest
        return manifest.model_copy(update={"rows_root": str((Path(folder) / manifest.rows_root).resolve())})
