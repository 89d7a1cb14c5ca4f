"""A version's files: download from the registry, and verification against their digests."""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from components.common.registry.connection import RegistryError, first_line, registry_errors
from components.common.registry.versions import DIGEST_TAG, get_version
from recap_model.file_digests import CACHE, DIGESTS_NAME, differences, file_names, folder_digests

if TYPE_CHECKING:
    from mlflow import MlflowClient

# In a version's artifacts:
MODEL_PATH = "data/model"  # what `recap_model.load_model` reads
ONNX_PATH = "onnx/model.onnx"  # if the config asked for it
PROFILE_PATH = "profile/profile.parquet"  # validate's profile of the log that it comes from
LINEAGE_PATH = "lineage/lineage.json"  # what the version was made from; earlier releases wrote it into tags
SNAPSHOT_PATH = "lineage/snapshot.json"  # every file of that log

_FILES_AT_ONCE = 8

# MLflow writes this one into a local store's folder when it loads a version from there.
_LEFT_BY_LOADING = ("registered_model_meta",)


def download(client: "MlflowClient", name: str, version: str, to: str | Path) -> Path:
    """Fetch a version's artifacts into the folder ``to`` and check each file's digest.

    Returns:
        The folder that `recap_model.load_model` reads.

    Raises:
        RegistryError: the version does not exist, was not registered by this pipeline, or a file was altered or lost.
    """
    return fetch(client, name, version, to) / MODEL_PATH


def fetch(client: "MlflowClient", name: str, version: str, to: str | Path) -> Path:
    """As `download`, but returns the folder that MLflow's pyfunc loads."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    expected = get_version(client, name, version).tags.get(DIGEST_TAG)
    if expected is None:
        raise _not_ours(name, version)
    with registry_errors(client):
        source = client.get_model_version_download_uri(name, version)
    try:
        folder = _fetch_all(client, source, Path(to))
    except (MlflowException, RequestException, OSError) as error:
        raise RegistryError(
            f"{name} version {version}: its artifacts at {source} cannot be read ({first_line(str(error))})"
        ) from None
    _check_digests(folder, expected, f"{name} version {version}")
    return folder


def _fetch_all(client: "MlflowClient", source: str, to: Path) -> Path:
    """Download a folder of artifacts, stopping at the first file that cannot be read.

    MLflow's own download of a folder goes on with every other file, and waits for a hanging server once per file.
    """
    import mlflow.artifacts

    uri, local = client.tracking_uri, _local_folder(source)
    if local is not None:
        return _copy_regular_files(local, to / local.name)
    # Listed before the first download starts, because an error here would wait for running downloads.
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


def _local_folder(source: str) -> Path | None:
    """The local folder of artifacts; None for artifacts of a server or an object store."""
    from mlflow.utils.file_utils import local_file_uri_to_path

    return Path(local_file_uri_to_path(source)) if urlsplit(source).scheme in ("", "file") else None


def _copy_regular_files(folder: Path, to: Path, names: Sequence[str] = ()) -> Path:
    """Copy a folder's files, or those of these names.

    Raises OSError for a missing file, and for a device or a pipe, which may never end.
    """
    for name in names or file_names(folder):
        if not stat.S_ISREG(os.lstat(folder / name).st_mode):
            raise OSError(f"{name} is not a regular file")
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, to / name)
    if not to.is_dir():
        raise FileNotFoundError(f"{folder}: not found, or empty")
    return to


def _listed(source: str, uri: str) -> Iterator[str]:
    """Paths of all files of a folder of artifacts."""
    import mlflow.artifacts

    folders = [""]
    for inside in folders:
        for artifact in mlflow.artifacts.list_artifacts(f"{source}/{inside}".rstrip("/"), tracking_uri=uri):
            name = artifact.path.rpartition("/")[2]
            if name in ("", ".", ".."):  # no server can make a path leave the folder
                continue
            path = f"{inside}/{name}".lstrip("/")
            if artifact.is_dir:
                folders.append(path)
            else:
                yield path


def fetch_file(client: "MlflowClient", name: str, version: str, path: str) -> bytes | None:
    """One file of a version's artifacts, verified against the version's digests; None if it does not exist.

    Raises RegistryError as `download` does.
    """
    expected = get_version(client, name, version).tags.get(DIGEST_TAG)
    if expected is None:
        raise _not_ours(name, version)
    with registry_errors(client):
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

    local = _local_folder(source)
    try:
        if local is not None:
            return (_copy_regular_files(local, Path(folder), [path]) / path).read_bytes()
        downloaded = mlflow.artifacts.download_artifacts(
            f"{source}/{path}", dst_path=folder, tracking_uri=client.tracking_uri
        )
        return Path(downloaded).read_bytes()
    except (MlflowException, RequestException, OSError) as error:
        raise RegistryError(f"{what}: {path} at {source} cannot be read ({first_line(str(error))})") from None


def _not_ours(name: str, version: str) -> RegistryError:
    return RegistryError(
        f"{name} version {version}: has no tag {DIGEST_TAG}, so this pipeline did not register it; give a version "
        "that it registered"
    )


def write_digests(folder: Path) -> str:
    """Write the digests of a folder's files into the folder; returns the digest of that file."""
    digests = folder_digests(folder)
    digests.pop(DIGESTS_NAME, None)
    content = json.dumps(digests, indent=1, sort_keys=True).encode()
    (folder / DIGESTS_NAME).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _check_digests(folder: Path, expected: str, what: str) -> None:
    """Raise RegistryError unless a folder contains exactly the files of `write_digests`; ``what`` names it."""
    path = folder / DIGESTS_NAME
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise RegistryError(f"{what}: {DIGESTS_NAME} was altered or lost; register the model again")
    listed: dict[str, str] = json.loads(path.read_text())
    if not any(name.endswith(f"/{CACHE}") for name in listed):
        _drop_bytecode(folder)
    for name, change in differences(folder, listed, ignore=(DIGESTS_NAME, *_LEFT_BY_LOADING)).items():
        remedy = "remove it" if change == "added" else "register the model again"
        raise RegistryError(f"{what}: {name} was {change} after registration; {remedy}")


def _drop_bytecode(folder: Path) -> None:
    """Remove bytecode caches from the copy of a version that was packaged without any.

    Python wrote them when MLflow loaded the version from a local store.
    """
    for cache in list(folder.rglob(CACHE)):
        shutil.rmtree(cache)
