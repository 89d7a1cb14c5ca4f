"""The files of a version: fetched from the registry, and held to the digests of their registration."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from components.common.registry.connection import RegistryError, first_line, in_one_line
from components.common.registry.versions import DIGEST_TAG, get_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

# In a version's artifacts:
DIGESTS_NAME = "digests.json"  # the SHA-256 of every other file, by its path
MODEL_PATH = "data/model"  # what `recap_model.load_model` reads
ONNX_PATH = "onnx/model.onnx"  # if the config asked for it
PROFILE_PATH = "profile/profile.parquet"  # validate's profile of the log that it comes from
SNAPSHOT_PATH = "lineage/snapshot.json"  # every file of that log

_FILES_AT_ONCE = 8

# MLflow writes this one into a local store's folder when it loads a version from there.
_LEFT_BY_LOADING = ("registered_model_meta",)


def download(client: "MlflowClient", name: str, version: str, to: str | Path) -> Path:
    """Fetch a version's artifacts into the folder ``to`` and check each file's digest.

    Returns:
        The folder that `recap_model.load_model` reads.

    Raises:
        RegistryError: there is no such version, it is not of this pipeline, or a file was altered or lost.
    """
    return fetch(client, name, version, to) / MODEL_PATH


def fetch(client: "MlflowClient", name: str, version: str, to: str | Path) -> Path:
    """As `download`, but returns the folder that MLflow's pyfunc loads."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    expected = get_version(client, name, version).tags.get(DIGEST_TAG)
    if expected is None:
        raise _not_ours(name, version)
    with in_one_line(client):
        source = client.get_model_version_download_uri(name, version)
    try:
        folder = _fetch_all(client, source, Path(to))
    except (MlflowException, RequestException, OSError) as error:
        raise RegistryError(
            f"{name} version {version}: its artifacts at {source} cannot be read ({first_line(str(error))})"
        ) from None
    _drop_bytecode(folder)
    check_digests(folder, expected, f"{name} version {version}")
    return folder


def _fetch_all(client: "MlflowClient", source: str, to: Path) -> Path:
    """Fetch a folder of artifacts, up to the first file that cannot be read.

    MLflow, asked for a whole folder, tries every other file too: a server that hangs would be waited for once a file.
    """
    import mlflow.artifacts

    uri = client.tracking_uri
    if urlsplit(source).scheme in ("", "file"):
        return Path(mlflow.artifacts.download_artifacts(source, dst_path=str(to), tracking_uri=uri))
    # Before the first is fetched, as those that are under way would be waited for.
    paths = list(_listed(source, uri))
    folder = to / source.rstrip("/").rpartition("/")[2]
    with ThreadPoolExecutor(_FILES_AT_ONCE) as threads:
        fetched = [
            threads.submit(
                mlflow.artifacts.download_artifacts,
                f"{source}/{path}",
                dst_path=str((folder / path).parent),
                tracking_uri=uri,
            )
            for path in paths
        ]
        try:
            for one in as_completed(fetched):
                one.result()
        finally:
            threads.shutdown(cancel_futures=True)
    return folder


def _listed(source: str, uri: str) -> Iterator[str]:
    """Paths of all files of a folder of artifacts."""
    import mlflow.artifacts

    folders = [""]
    for inside in folders:
        for found in mlflow.artifacts.list_artifacts(f"{source}/{inside}".rstrip("/"), tracking_uri=uri):
            name = found.path.rpartition("/")[2]
            if name in ("", ".", ".."):  # nothing leaves the folder, whatever a server says
                continue
            path = f"{inside}/{name}".lstrip("/")
            if found.is_dir:
                folders.append(path)
            else:
                yield path


def fetch_file(client: "MlflowClient", name: str, version: str, path: str) -> bytes | None:
    """One file of a version's artifacts, checked against the version's digests; None if it has none of that path.

    Raises RegistryError as `download` does.
    """
    expected = get_version(client, name, version).tags.get(DIGEST_TAG)
    if expected is None:
        raise _not_ours(name, version)
    with in_one_line(client):
        source = client.get_model_version_download_uri(name, version)
    with tempfile.TemporaryDirectory(prefix="recap-fetch-") as folder:
        digests = _fetch_path(client, source, folder, DIGESTS_NAME, f"{name} version {version}")
        if hashlib.sha256(digests).hexdigest() != expected:
            raise RegistryError(
                f"{name} version {version}: {DIGESTS_NAME} was altered; register the model again"
            )
        recorded = json.loads(digests).get(path)
        if recorded is None:
            return None
        content = _fetch_path(client, source, folder, path, f"{name} version {version}")
    if hashlib.sha256(content).hexdigest() != recorded:
        raise RegistryError(f"{name} version {version}: {path} was altered; register the model again")
    return content


def _fetch_path(client: "MlflowClient", source: str, folder: str, path: str, what: str) -> bytes:
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        found = mlflow.artifacts.download_artifacts(
            f"{source}/{path}", dst_path=folder, tracking_uri=client.tracking_uri
        )
        return Path(found).read_bytes()
    except (MlflowException, RequestException, OSError) as error:
        raise RegistryError(f"{what}: {path} at {source} cannot be read ({first_line(str(error))})") from None


def _not_ours(name: str, version: str) -> RegistryError:
    return RegistryError(
        f"{name} version {version}: has no tag {DIGEST_TAG}, so this pipeline did not register it"
    )


def _drop_bytecode(folder: Path) -> None:
    """Python leaves bytecode beside the code of a version in a local store, and would trust what it finds there."""
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache)


def write_digests(folder: Path) -> str:
    """Write the digests of all files of a folder into it; returns the digest of what was written."""
    content = json.dumps(_digests(folder), indent=1, sort_keys=True).encode()
    (folder / DIGESTS_NAME).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def check_digests(folder: Path, expected: str, what: str) -> None:
    """Raise RegistryError unless a folder holds just what `write_digests` saw; ``what`` names it."""
    path = folder / DIGESTS_NAME
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise RegistryError(f"{what}: {DIGESTS_NAME} was altered or lost; register the model again")
    recorded: dict[str, Any] = json.loads(path.read_text())
    found = _digests(folder)
    for name in sorted(recorded.keys() | found.keys()):
        if recorded.get(name) != found.get(name):
            state = "lost" if name not in found else "added" if name not in recorded else "altered"
            raise RegistryError(f"{what}: {name} was {state} after registration; register the model again")


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DIGESTS_NAME)
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name not in _LEFT_BY_LOADING
    }
