"""The three sets of a tiny log, which the tests of experiments share."""

import pytest

from pipeline.experiments.frozen_data import FrozenData
from tests.datasets import build_tiny
from tests.tiny import tiny_config, write_tiny_log


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> FrozenData:
    folder = tmp_path_factory.mktemp("experiments")
    sets = build_tiny(folder, tiny_config(), write_tiny_log(folder / "log"))
    return FrozenData(sets.snapshot, sets.train, sets.calibration, sets.test)
