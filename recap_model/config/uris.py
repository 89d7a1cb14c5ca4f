"""Addresses of stores and servers, which are written down and so must hold no secret, and of files inside folders."""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator


class SecretInAddressError(ValueError):
    """An address holds a password; the message does not repeat it."""


_WAYS = {
    "http": "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment",
    "https": "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS in the environment",
    "postgresql": "PGPASSWORD in the environment, or ~/.pgpass",
}


def without_secret(address: str, field: str) -> str:
    """The address, if it may be written down.

    Raises SecretInAddressError if it holds a password; ``field`` says where it was given.

    >>> without_secret("s3://bucket/log", "data_root")
    's3://bucket/log'
    """
    scheme, separator, rest = address.partition("://")
    authority = rest.partition("/")[0]
    if not separator or ":" not in authority.rpartition("@")[0]:
        return address
    way = _WAYS.get(scheme.partition("+")[0], "the environment, as its client reads it")
    host = authority.rpartition("@")[2]
    raise SecretInAddressError(
        f"{field}: the address of {host} holds a password, which would be written into logs and artifacts; "
        f"give it by {way}"
    )


def _inside(path: str) -> str:
    """Raise ValueError if a path may lead out of the folder that it is under."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise ValueError("leads out of its folder; a path is relative, without '..'")
    return path


# A path in a manifest, under a root that is given elsewhere.
RelativePath = Annotated[str, AfterValidator(_inside)]
