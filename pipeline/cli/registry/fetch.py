"""Download a version from the registry into a folder that MLflow can serve."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.common import registry
from components.common.runtime.atomic_output import atomic_directory

if TYPE_CHECKING:
    from mlflow import MlflowClient


def fetch_version(client: "MlflowClient", name: str, version: str, out: Path) -> None:
    """Download a version, verify every file against the digests of its registration, and write ``out`` atomically.

    Nothing of the version is imported or run.

    Raises:
        FileExistsError: ``out`` is a file, or a folder that holds something else than a fetched version.
        RegistryError: there is no such version, it cannot be read, or a file was altered, lost or added.
    """
    taken = out.exists() and not (out.is_dir() and not any(out.iterdir()))
    if taken and not (out / registry.DIGESTS_NAME).is_file():
        raise FileExistsError(f"--out: {out} holds something else than a version; give a new folder")
    with atomic_directory(out) as folder:
        fetched = registry.fetch(client, name, version, folder / "fetched")
        for path in list(fetched.iterdir()):
            path.rename(folder / path.name)
        fetched.rmdir()
        fetched.parent.rmdir()
