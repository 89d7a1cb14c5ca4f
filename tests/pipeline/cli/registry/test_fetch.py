"""A version's files fetched to be served."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli.app import app
from tests.components.registries import NAME


def fetch(workspace: Path, model: str, out: Path) -> Result:
    arguments = ["models", "fetch", model, "--out", str(out), "--workspace", str(workspace)]
    return CliRunner().invoke(app, arguments)


def test_a_version_is_fetched_to_be_served_and_a_newer_one_takes_its_place(workspace: Path, tmp_path: Path):
    done = fetch(workspace, f"{NAME}@champion", tmp_path / "champion")
    assert done.exit_code == 0, done.output
    assert f"{NAME} version 1, every file as it was registered" in " ".join(done.stdout.split())
    assert f"mlflow models serve --env-manager local --model-uri {tmp_path / 'champion'}" in done.stdout
    first = (tmp_path / "champion" / "digests.json").read_bytes()
    assert fetch(workspace, f"models:/{NAME}/2", tmp_path / "champion").exit_code == 0
    assert (tmp_path / "champion" / "digests.json").read_bytes() != first
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "champion"}


def test_a_folder_of_something_else_is_not_replaced_by_a_version(workspace: Path, tmp_path: Path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / ".git").touch()
    refused = fetch(workspace, f"{NAME}@champion", tmp_path / "notes")
    assert isinstance(refused.exception, FileExistsError)
    assert (tmp_path / "notes" / ".git").exists()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("other@champion", "model other: has no alias champion; aliases: none"),
        (f"{NAME}@best", f"model {NAME}: has no alias best; aliases: candidate, champion"),
        (f"{NAME}/7", f"model {NAME}: has no version 7"),
        (NAME, "names no version; give NAME/VERSION or NAME@ALIAS"),
    ],
)
def test_what_is_not_in_the_registry_is_not_fetched(workspace: Path, tmp_path: Path, model: str, words: str):
    refused = fetch(workspace, model, tmp_path / "champion")
    assert isinstance(refused.exception, ValueError)
    assert words in str(refused.exception)
    assert not (tmp_path / "champion").exists()
