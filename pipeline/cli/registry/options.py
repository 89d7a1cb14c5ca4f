"""Options and connection shared by the commands for the model registry."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlflow import MlflowClient

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
VersionArgument = Annotated[int, typer.Argument(min=1, max=(1 << 31) - 1, help="A version's number.")]


def connect_registry(uri: str, workspace: Path) -> "MlflowClient":
    """A client of the registry named by the options. Raises FileNotFoundError if its database does not exist."""
    from components.common import registry

    uri = uri or registry.default_tracking_uri(workspace)
    database = registry.sqlite_path(uri)
    if database is not None and not database.is_file():
        raise FileNotFoundError(f"{database}: no registry yet; recap run creates one")
    import logging
    import warnings

    warnings.simplefilter("ignore")
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return registry.connect(uri)
