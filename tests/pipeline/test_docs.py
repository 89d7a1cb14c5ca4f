"""Commands that the documents show are commands that there are."""

import re
from pathlib import Path

import pytest
import typer
import yaml

from pipeline.cli.app import app
from pipeline.cluster.settings import ClusterSettings

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "docs/cluster.md", "docs/operate.md", "docs/report.md", "containers/README.md"]
COMMAND = re.compile(r"^recap ([a-z].*)$", re.MULTILINE)


def shown(document: str) -> list[list[str]]:
    """The words of each ``recap`` command in the blocks of a document."""
    blocks = re.findall(r"```\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    return [line.split("#")[0].split() for block in blocks for line in COMMAND.findall(block)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_and_option_exists(document: str):
    for words in shown(document):
        command = typer.main.get_command(app)
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        runs = not hasattr(command, "commands") or command.invoke_without_command
        assert runs, f"{document}: recap … {' '.join(words)}"
        known = {name for parameter in command.params for name in parameter.opts}
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        assert given <= known, f"{document}: {given - known}"


def test_the_clusters_file_that_is_shown_is_one():
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "cluster.md").read_text(), re.DOTALL)
    assert block is not None
    settings = ClusterSettings.model_validate(yaml.safe_load(block[1]))
    assert settings.pod("train") == ClusterSettings().pod("train")
