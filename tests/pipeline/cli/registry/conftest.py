"""A workspace with two versions, which the tests of the registry's commands share."""

import shutil
from pathlib import Path

import pytest

from components.promote.promote import promote_version
from tests.components.registries import PROOF, new_registry, register, run_outputs

PROOFS = (
    "components.promote.manual.load_and_score",
    "components.common.registry.promotion.rollback.load_and_score",
    "components.register.register.load_and_score",
)


@pytest.fixture(scope="package", autouse=True)
def _proven():
    """Proofs take seconds; where they are not the subject they are taken for granted."""
    with pytest.MonkeyPatch.context() as patched:
        for place in PROOFS:
            patched.setattr(place, lambda *_: PROOF)
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace where version 1 is champion, and 2 on hold."""
    place = tmp_path_factory.mktemp("place")
    uri = new_registry(place / "workspace")
    for number, outcome, against in ((1, "PROMOTE", None), (2, "HOLD", "1")):
        folder = place / str(number)
        inputs = run_outputs(folder, uri, f"run-{number}", outcome, against, seed=number)
        register(inputs, folder / "version")
        promote_version(folder / "version", inputs.evaluation, folder / "promotion")
    return place / "workspace"


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    """A copy of its database; the versions' artifacts stay where they are."""
    shutil.copyfile(made / "mlflow.db", tmp_path / "mlflow.db")
    return tmp_path
