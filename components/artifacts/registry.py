"""The model registry as steps and commands use it: reaching MLflow, reading versions, moving aliases.

MLflow is imported inside the functions, so that asking where a registry is costs nothing.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from components.artifacts.snapshot import Champion

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# candidate: the newest version that passed its proof; challenger: waits for a person's approval.
Alias = Literal["candidate", "challenger", "champion", "previous"]

DIGESTS_NAME = "digests.json"  # in a version's artifacts: the SHA-256 of every other file, by its path
DIGEST_TAG = "recap.model_digest"  # on the version: the SHA-256 of that file
PIPELINE_RUN_TAG = "recap.pipeline_run"
WINDOW_TAG = "recap.window"
OUTCOME_TAG = "recap.outcome"
DECISION_TAG = "recap.decision_digest"
COMPARED_TAG = "recap.compared_with"  # the champion's version, or "none"
PARENT_TAG = "recap.parent"  # what training started from, or "none"
IMAGES_TAG = (
    "recap.images"  # JSON: the steps' images, or "none" where the steps were processes of one machine
)
APPROVAL_TAG = "recap.approval"  # who promotes a version that the gate lets pass: "gate" or "person"
SCORES_TAG = "recap.scores"  # where evaluate left every test row's scores
PROOF_TAG = "recap.proof"  # JSON of the proof, or "failed: " and why
PROFILE_PATH = (
    "profile/profile.parquet"  # in a version's artifacts: validate's profile of the log that it comes from
)
MODEL_PATH = "data/model"  # of what `recap_model.load_model` reads, in a version's artifacts
SNAPSHOT_PATH = "lineage/snapshot.json"  # in a version's artifacts: every file of the log that it comes from
ONNX_PATH = "onnx/model.onnx"  # in a version's artifacts, if the config asked for it

# MLflow writes this one into a local store's folder when it loads a version from there.
_LEFT_BY_LOADING = ("registered_model_meta",)
_SQLITE = "sqlite:///"
_CONNECT_TIMEOUT_S, _ANSWER_TIMEOUT_S = 3, 15
# MLflow by itself retries for four minutes before it says that a server is down, and draws progress bars.
_MLFLOW_SETTINGS = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}


class RegistryError(ValueError):
    """The registry cannot be reached, refuses, or does not hold what was asked for; one line."""


def default_tracking_uri(workspace: str | Path) -> str:
    """``MLFLOW_TRACKING_URI`` of the environment, else an SQLite database in the workspace."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{Path(workspace).resolve() / 'mlflow.db'}"


def artifact_location(tracking_uri: str) -> str | None:
    """Where a new experiment keeps its artifacts: beside an SQLite database; a server's own choice is None.

    Raises RegistryError for any other database, which alone does not say where artifacts lie.
    """
    if tracking_uri.startswith(_SQLITE):
        return (Path(tracking_uri.removeprefix(_SQLITE)).resolve().parent / "artifacts").as_uri()
    if tracking_uri.startswith(("http://", "https://")):
        return None
    raise RegistryError(
        f"tracking_uri: {_shown(tracking_uri)}: a database alone does not say where artifacts lie; create "
        "the experiment with mlflow experiments create --artifact-location, or use a tracking server"
    )


def connect(tracking_uri: str) -> "MlflowClient":
    """A client of a registry that answers; an SQLite database and its folder are created if need be.

    Raises RegistryError, within seconds, if it does not answer.
    """
    if tracking_uri.startswith(("http://", "https://")):
        _try_server(tracking_uri)
    elif "://" in tracking_uri:
        _try_database(tracking_uri)
    else:
        raise RegistryError(
            f"tracking_uri: {tracking_uri!r} is no URI of a registry; give http(s)://HOST:PORT of an MLflow "
            "server, or sqlite:///FILE"
        )
    for name, value in _MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    # It prints the traceback of what it then raises, and what it raises becomes our one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with in_one_line(tracking_uri):
        client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
        client.search_registered_models(max_results=1)
    return client


def _try_server(uri: str) -> None:
    import requests

    try:
        requests.get(uri, timeout=(_CONNECT_TIMEOUT_S, _ANSWER_TIMEOUT_S), stream=True).close()
    except requests.RequestException as error:
        raise _unreachable(uri, type(error).__name__) from None


def _try_database(uri: str) -> None:
    """Look once whether a database can be read; MLflow would try ten times, for two minutes."""
    import sqlalchemy

    try:
        if uri.startswith(_SQLITE):
            Path(uri.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(uri)
        sqlalchemy.inspect(engine).get_table_names()
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as error:
        raise _unreachable(uri, str(error)) from None


def _unreachable(uri: str, reason: str) -> RegistryError:
    return RegistryError(
        f"tracking_uri: {_shown(uri)}: the registry does not answer ({_first_line(reason)}); start it, or "
        "correct MLFLOW_TRACKING_URI or registry.tracking_uri"
    )


@contextmanager
def in_one_line(where: "MlflowClient | str") -> Iterator[None]:
    """Turn what MLflow raises in the block into a RegistryError that names the registry."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        uri = where if isinstance(where, str) else where.tracking_uri
        raise RegistryError(f"registry {_shown(uri)}: {_first_line(str(error))}") from None


def _first_line(text: str) -> str:
    """Of what went wrong; SQLAlchemy may say first where in its own work it was."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return next((line for line in lines if not line.startswith("(raised as a result")), "no reason given")[
        :300
    ]


def _shown(uri: str) -> str:
    """A URI without its password."""
    scheme, separator, rest = uri.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.partition(':')[0] + at if at else ''}{host}"


def aliases(client: "MlflowClient", name: str) -> dict[str, str]:
    """The version that each alias of a registered model points to; empty if there is no such model."""
    from mlflow.exceptions import MlflowException

    with in_one_line(client):
        try:
            found = client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
    return {alias: str(version) for alias, version in found.items()}


def champion(client: "MlflowClient", name: str) -> Champion | None:
    """The version that has the alias ``champion``, with its MLflow run; None if there is none."""
    version = aliases(client, name).get("champion")
    if version is None:
        return None
    return Champion(version=version, run_id=get_version(client, name, version).run_id or "")


def get_version(client: "MlflowClient", name: str, version: str) -> "ModelVersion":
    """One version. Raises RegistryError if there is none."""
    from mlflow.exceptions import MlflowException

    with in_one_line(client):
        try:
            return client.get_model_version(name, version)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise RegistryError(
                f"{name}: has no version {version}; recap models lists those there are"
            ) from None


def versions(client: "MlflowClient", name: str) -> "list[ModelVersion]":
    """All versions of a registered model, the newest first."""
    found: list[ModelVersion] = []
    token = None
    with in_one_line(client):
        while True:
            page = client.search_model_versions(f"name={_quoted(name)}", max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return sorted(found, key=lambda version: -int(version.version))


def find_version(client: "MlflowClient", name: str, run_id: str) -> "ModelVersion | None":
    """The version that a pipeline run registered, or None."""
    return next(
        (version for version in versions(client, name) if version.tags.get(PIPELINE_RUN_TAG) == run_id), None
    )


def _quoted(name: str) -> str:
    return '"' + name + '"' if "'" in name else "'" + name + "'"


def move_alias(client: "MlflowClient", name: str, alias: Alias, version: str | None) -> None:
    """Let an alias point to a version, or to none. Nothing else in the code writes an alias."""
    with in_one_line(client):
        if version is None:
            client.delete_registered_model_alias(name, alias)
        else:
            client.set_registered_model_alias(name, alias, version)


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
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    expected = get_version(client, name, version).tags.get(DIGEST_TAG)
    if expected is None:
        raise _not_ours(name, version)
    with in_one_line(client):
        source = client.get_model_version_download_uri(name, version)
    try:
        folder = mlflow.artifacts.download_artifacts(
            source, dst_path=str(to), tracking_uri=client.tracking_uri
        )
    except (MlflowException, RequestException, OSError) as error:
        raise RegistryError(
            f"{name} version {version}: its artifacts at {source} cannot be read ({_first_line(str(error))})"
        ) from None
    _drop_bytecode(Path(folder))
    check_digests(Path(folder), expected, f"{name} version {version}")
    return Path(folder)


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
        raise RegistryError(
            f"{what}: {path} at {source} cannot be read ({_first_line(str(error))})"
        ) from None


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
