"""Connections to an MLflow registry, with short timeouts and one-line errors.

MLflow is imported inside the functions, so that computing a registry's address does not import it.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common.registry.sqlite import create_database, is_incomplete, sqlite_path, sqlite_uri
from components.common.runtime.environment import environment
from components.common.runtime.http_status import request_status
from components.common.runtime.network_errors import network_reason
from recap_model.config.fields.uris import SecretInAddressError, mask_secrets, without_secret

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from requests import Response

_OK = 200
_CONNECT_TIMEOUT_S, _ANSWER_TIMEOUT_S = 3, 15
# By default MLflow retries for four minutes before it reports that a server is down, and draws progress bars.
_MLFLOW_SETTINGS = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}


class RegistryError(ValueError):
    """The registry is unreachable, refuses a request, or lacks what was requested; one line."""


def default_tracking_uri(workspace: str | Path) -> str:
    """``MLFLOW_TRACKING_URI`` of the environment, else an SQLite database in the workspace."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(Path(workspace).resolve() / "mlflow.db")


def artifact_location(tracking_uri: str) -> str | None:
    """Artifact location of a new experiment: beside an SQLite database; None to leave it to a server.

    Raises RegistryError for any other database, which does not define an artifact location.
    """
    if database := sqlite_path(tracking_uri):
        return (database.resolve().parent / "artifacts").as_uri()
    if tracking_uri.startswith(("http://", "https://")):
        return None
    raise RegistryError(
        f"tracking_uri: {tracking_uri}: a database alone does not define where artifacts are stored; create "
        "the experiment with mlflow experiments create --artifact-location, or use a tracking server"
    )


def connect(tracking_uri: str) -> "MlflowClient":
    """A client of a registry that responds; an SQLite database and its folder are created if they do not exist.

    Raises RegistryError, within seconds, if it does not respond, and for a URI that contains a password.
    """
    try:
        without_secret(tracking_uri, "tracking_uri")
    except SecretInAddressError as error:
        raise RegistryError(str(error)) from None
    for name, value in _MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    # They print tracebacks of errors that are reported here as one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connection").setLevel(logging.CRITICAL)
    if tracking_uri.startswith(("http://", "https://")):
        _try_server(tracking_uri)
        _refuse_empty_answers()
    elif tracking_uri.startswith("sqlite:") and sqlite_path(tracking_uri) is None:
        raise RegistryError(f"tracking_uri: {tracking_uri!r} names no file; give sqlite:///FILE")
    elif "://" in tracking_uri:
        _try_database(tracking_uri)
    else:
        raise RegistryError(
            f"tracking_uri: {tracking_uri!r} is not a registry's URI; give http(s)://HOST:PORT of an MLflow server, "
            "or sqlite:///FILE"
        )
    from mlflow import MlflowClient

    with registry_errors(tracking_uri):
        client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
        client.search_registered_models(max_results=1)
    return client


@contextmanager
def patience(timeout_s: int, tries: int) -> Iterator[None]:
    """Limit the timeout and attempts of requests in the block; lower limits in the environment stay."""
    limits = {"MLFLOW_HTTP_REQUEST_TIMEOUT": timeout_s, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": tries - 1}
    with environment(
        {name: str(min(int(os.environ.get(name) or most), most)) for name, most in limits.items()}
    ):
        yield


def _try_server(uri: str) -> None:
    import requests

    certificate = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    try:
        request_status(
            requests.Request("GET", uri),
            _ANSWER_TIMEOUT_S,
            connect_s=_CONNECT_TIMEOUT_S,
            verify=certificate or not insecure,
        )
    except (OSError, ValueError) as error:
        raise _unreachable(uri, network_reason(error, uri) or str(error)) from None


def _refuse_empty_answers() -> None:
    """Make MLflow's client raise MlflowException for a response without a body.

    It reads an empty body as an empty list, or as a model without a champion. A server sends {} in those cases; the
    body is empty only if the server, or a proxy in front of it, died while it responded.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils import rest_utils

    verify = rest_utils.verify_rest_response
    if verify.__module__ == __name__:
        return

    def refuse(response: "Response", endpoint: str, **how: Any) -> "Response":
        if response.status_code == _OK and not response.content:
            raise MlflowException(
                f"{endpoint}: the response is empty; check whether the server or a proxy closed the connection"
            )
        return verify(response, endpoint, **how)

    rest_utils.verify_rest_response = refuse


def _try_database(uri: str) -> None:
    """Read a database once, creating it if it is SQLite; MLflow would retry ten times, for two minutes."""
    import sqlalchemy
    from mlflow.exceptions import MlflowException

    path = sqlite_path(uri)
    if path is not None:
        try:
            create_database(path)
        except (sqlalchemy.exc.SQLAlchemyError, MlflowException, OSError) as error:
            reason = (
                error.strerror if isinstance(error, OSError) and error.strerror else first_line(str(error))
            )
            raise RegistryError(
                f"tracking_uri: {path}: the registry's database cannot be created ({reason}); check the folder, its "
                "permissions and free disk space, or give another registry"
            ) from None
    try:
        engine = sqlalchemy.create_engine(uri)
        sqlalchemy.inspect(engine).get_table_names()
        engine.dispose()
    except (ImportError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise RegistryError(
            f"tracking_uri: {uri}: no driver for this database ({error}); install it, or use a tracking server"
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        raise _unreachable(uri, str(error)) from None


def _unreachable(uri: str, reason: str) -> RegistryError:
    return RegistryError(
        f"tracking_uri: {uri}: the registry does not answer ({first_line(reason)}); {_remedy(reason)}"
    )


def _remedy(reason: str) -> str:
    if "TLS: " in reason:
        return "set MLFLOW_TRACKING_SERVER_CERT_PATH to its certificate, or correct the address"
    return "start it, or correct MLFLOW_TRACKING_URI or registry.tracking_uri"


_REFUSALS = {
    "UNAUTHENTICATED": "not authenticated (401); set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD",
    "PERMISSION_DENIED": "permission denied (403); ask the server's administrator for it",
}


@contextmanager
def registry_errors(where: "MlflowClient | str") -> Iterator[None]:
    """Convert MLflow's exceptions in the block to a one-line RegistryError that names the registry."""
    from google.protobuf.json_format import ParseError
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, ParseError) as error:
        uri = where if isinstance(where, str) else where.tracking_uri
        path = sqlite_path(uri)
        if path is not None and is_incomplete(path):
            raise RegistryError(
                f"registry {path}: the creation of this database was interrupted, and it holds no run and no model; "
                "remove the file, and run again"
            ) from None
        if (reason := network_reason(error, uri)) is not None:
            raise _unreachable(uri, reason) from None
        refusal = _REFUSALS.get(getattr(error, "error_code", ""))
        raise RegistryError(f"registry {uri}: {refusal or first_line(str(error))}") from None


def first_line(text: str) -> str:
    """The first line of an error's text, without the preamble that SQLAlchemy may put before it."""
    lines = [line.strip() for line in text.strip().splitlines()]
    first = next((line for line in lines if not line.startswith("(raised as a result")), "no reason given")
    return mask_secrets(first)[:300]
