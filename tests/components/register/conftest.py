"""A registry with one registered version, which the tests of register share."""

from pathlib import Path

import pytest

from components.common import registry
from components.common.artifacts.registered_version import RegisteredVersion
from tests.components.registries import PROOF, Inputs, new_registry, register, run_outputs


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="package")
def uri(place: Path) -> str:
    return new_registry(place / "workspace")


@pytest.fixture(scope="package")
def inputs(place: Path, uri: str) -> Inputs:
    return run_outputs(place / "run", uri)


@pytest.fixture(scope="package")
def version(place: Path, inputs: Inputs) -> RegisteredVersion:
    return register(inputs, place / "version")


@pytest.fixture(scope="package")
def client(uri: str):
    return registry.connect(uri)


@pytest.fixture
def proven(monkeypatch) -> None:
    """Proofs take seconds; where they are not the subject they are taken for granted."""
    monkeypatch.setattr("components.register.register.load_and_score", lambda *_: PROOF)
