"""The process of a proof sees what a version requires, and nothing else that is installed."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.common.registry import RegistryError, write_digests
from components.common.registry.load_test import check as load_test
from components.register.package import package, requirements_text
from recap_model import create_ranking_model, data_spec, load_model, save_model
from recap_model.scoring import score_rows
from tests.tiny import FIRST_DAY, TASKS, tiny_config, tiny_rows

CONFIG = tiny_config()
ROWS = tiny_rows(FIRST_DAY, 20).select(CONFIG.features.columns())


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version as it lies in a registry, with rows and their scores."""
    import pandas as pd

    place = tmp_path_factory.mktemp("proof")
    save_model(create_ranking_model(data_spec(CONFIG), CONFIG, "cpu"), place / "model", CONFIG)
    scores = score_rows(load_model(place / "model"), ROWS)
    frame = pd.DataFrame(scores, columns=[*TASKS, "score"])
    package(
        place / "model",
        ROWS,
        CONFIG,
        place / "version",
        lambda folder: load_test.store_rows(folder, ROWS, frame),
    )
    return place / "version"


@pytest.fixture
def altered(packaged: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(packaged, tmp_path / "version")
    return tmp_path / "version"


def _score(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    with load_test.LoadTestProcess((folder / "requirements.txt").read_text()) as process:
        return process.score(folder, "m")


def test_a_version_loads_from_any_path_with_what_it_requires_alone(packaged: Path, tmp_path: Path):
    version = tmp_path / "job%2Fx [prod]?#" / "version"
    shutil.copytree(packaged, version)
    scores, measured = _score(version)
    assert load_test.check_scores(version, scores, "m") <= 1e-6
    assert measured["other_packages"] == []


def test_the_requirements_of_a_process_that_was_started_ahead_are_those_of_a_version(packaged: Path):
    assert requirements_text() == (packaged / "requirements.txt").read_text()


def test_a_package_that_is_installed_and_not_required_is_not_there(altered: Path):
    loader = altered / "code" / "recap_model" / "serving.py"
    loader.write_text("import hypothesis\n" + loader.read_text())
    write_digests(altered)
    with pytest.raises(RegistryError) as refused:
        _score(altered)
    assert str(refused.value) == (
        "m: does not load and score in a fresh process: ModuleNotFoundError: No module named 'hypothesis': "
        "the version does not require it"
    )


def test_a_package_of_another_release_than_required_is_told(altered: Path):
    requirements = altered / "requirements.txt"
    here = version("pandas")
    requirements.write_text(requirements.read_text().replace(f"pandas=={here}", "pandas==3.0.0"))
    write_digests(altered)
    _, measured = _score(altered)
    assert measured["other_packages"] == [f"pandas {here} for 3.0.0"]
