"""The data of a study: one snapshot, and the training rows prepared with validation rows cut off."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from components.common.runtime.atomic_output import MARK_NAME, atomic_directory
from components.common.runtime.locks import locked_folder
from components.prepare.prepare import prepare_datasets
from components.resolve.resolve import resolve_run
from components.validate.validate import validate_snapshot
from pipeline.experiments.frozen_data import FrozenData
from recap_model.data.dataset.manifest import MANIFEST_NAME

Step = Callable[[str], AbstractContextManager[None]]


def freeze(arguments: dict[str, Any], folder: Path, run_id: str, step: Step) -> Path:
    """Resolve a snapshot into ``folder``; returns its folder."""
    with step("resolve"):
        resolve_run(
            arguments["config"],
            arguments["data_root"],
            folder,
            tracking_uri=arguments["tracking_uri"],
            run_id=run_id,
            end_date=arguments["end_date"],
            days=arguments["days"],
        )
    return folder


def prepare_study(snapshot: Path, folder: Path, step: Step) -> FrozenData:
    """Validate a snapshot and prepare its training rows in a study's folder, unless an earlier call did.

    The calibration and test rows of the config's split are in none of the sets; the sets' test rows are the study's
    validation rows. Concurrent calls for one folder wait for each other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = FrozenData(
        folder / "snapshot", *(folder / name for name in ("train_set", "calibration_set", "validation_set"))
    )
    with locked_folder(folder):
        if (data.train / MANIFEST_NAME).is_file():  # of the sets it is written last
            return data
        with atomic_directory(data.snapshot) as copied:
            shutil.copytree(snapshot, copied, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MARK_NAME))
        with step("validate"):
            validate_snapshot(data.snapshot, folder / "validated", docs=folder / "data.html")
        with step("prepare"):
            prepare_datasets(
                data.snapshot,
                folder / "validated",
                data.train,
                data.calibration,
                data.held_out,
                within_training=True,
            )
    return data
