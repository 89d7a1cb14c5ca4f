"""The registry's commands, called in this process."""

from pathlib import Path

from typer.testing import CliRunner, Result

from components.common import registry
from pipeline.cli.app import app
from tests.components.registries import NAME


def recap(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--name", NAME, "--workspace", str(workspace)])


def aliases(workspace: Path) -> dict[str, str]:
    return registry.aliases(registry.connect(registry.default_tracking_uri(workspace)), NAME)
