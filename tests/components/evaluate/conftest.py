"""Sets of a tiny log and a calibrated model, which the tests of evaluate share."""

from pathlib import Path

import pytest

from components.calibrate.calibrate import calibrate_model
from components.train.train import train_model
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log


@pytest.fixture(scope="package")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinySets, Path]:
    """Sets of a tiny log, and a calibrated model."""
    folder = tmp_path_factory.mktemp("evaluate")
    sets = build_tiny(folder, tiny_config(), write_tiny_log(folder / "log", rows=400))
    train_model(sets.snapshot, sets.train, folder / "model")
    calibrate_model(sets.snapshot, folder / "model", sets.calibration, folder / "calibrated")
    return sets, folder / "calibrated"
