"""Options for the workspace, the registry and the model; lookup of configs by name."""

import glob
from pathlib import Path
from typing import Annotated

import typer

CONFIGS = Path(__file__).parent.parent / "configs"

WorkspaceOption = Annotated[
    Path, typer.Option(file_okay=False, help="Folder that keeps the registry and the runs.")
]
TRACKING_URI = ("--tracking-uri", "--registry")
UriOption = Annotated[
    str,
    typer.Option(*TRACKING_URI, help="MLflow's URI; else MLFLOW_TRACKING_URI, or SQLite in the workspace."),
]


def _check_model(name: str) -> str:
    from recap_model.config.fields.names import check_model

    try:
        return check_model(name)
    except ValueError as error:
        raise typer.BadParameter(f"{name!r}: {error}") from None


NameOption = Annotated[
    str,
    typer.Option(
        "--name", callback=_check_model, help="The registered model: registry.model_name of the config."
    ),
]
DEFAULT_NAME = "recap"
DEFAULT_WORKSPACE = Path(".recap")


def complete_config(incomplete: str) -> list[str]:
    """Shell completions of a config: names of packaged configs, and paths of YAML files."""
    files = [*glob.glob(f"{glob.escape(incomplete)}*.yaml"), *glob.glob(f"{glob.escape(incomplete)}*/")]
    return sorted(name for name in (*_packaged(), *files) if name.startswith(incomplete))


def _packaged() -> list[str]:
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def config_path(name_or_file: str) -> Path:
    """The file of a config, given by its path or by the name of a packaged config.

    Raises FileNotFoundError, which lists the packaged configs, if it is neither.
    """
    given = Path(name_or_file)
    if given.is_file():
        return given
    packaged = CONFIGS / f"{name_or_file}.yaml"
    if packaged.is_file():
        return packaged
    names = ", ".join(_packaged())
    raise FileNotFoundError(f"{name_or_file}: no such config file; packaged configs: {names}")
