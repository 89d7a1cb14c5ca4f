"""URIs without credentials, and relative paths that stay inside their folder."""

import re
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import unquote

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
_HIDDEN = "***"
_WEB = ("http", "https")
# USER:PASSWORD@, where the password may hold "/", as SQLAlchemy reads it; a web address may be HOST:PORT/PATH@ too.
_USER_AND_PASSWORD = re.compile(r"([^\s/:@?#\[]*):([^\s@]+)@")
_PORT = re.compile(r"\d+[/?#]")
_ANY_USER = re.compile(r"[^\s/:@?#]+@")
_PARAMETER = re.compile(
    r"([?&;#](?:[\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|signature|credential|(?:api|access|account|private)"
    r"[_-]?key)[\w.-]*|key|sig|sas|auth)=)([^&;#\s'\")]+)",
    re.IGNORECASE,
)
_IN_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def without_secret(address: str, field: str) -> str:
    """The address, if it may be written down.

    Raises SecretInAddressError if it holds a password, a token or a key: before ``@``, or as a parameter. ``field``
    says where it was given, and may be empty.

    >>> without_secret("s3://bucket/log", "data_root")
    's3://bucket/log'
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address
    for text in (rest, unquote(rest)):
        if _end_of_secret(scheme, text) or _PARAMETER.search(text):
            break
    else:
        return address
    way = _WAYS.get(scheme.partition("+")[0], "the environment, as its client reads it")
    raise SecretInAddressError(
        f"{field + ': ' if field else ''}the address holds a password, token or key, which logs and artifacts would "
        f"keep; give it by {way}"
    )


def mask_secrets(text: str) -> str:
    """A text from elsewhere, with the secrets of the addresses that it quotes hidden.

    >>> mask_secrets("GET http://me:1234@host/x?token=5 failed")
    'GET http://***@host/x?token=*** failed'
    """
    parts, start = [], 0
    for match in _IN_TEXT.finditer(text):
        end = _end_of_secret(match[1], text[match.end() :])
        if end:
            parts += [text[start : match.end()], _HIDDEN]
            start = match.end() + end - 1
    return _PARAMETER.sub(rf"\1{_HIDDEN}", "".join([*parts, text[start:]]))


def _end_of_secret(scheme: str, rest: str) -> int:
    """How far user and password reach in what follows ``://``, "@" included; 0 if there is none.

    A user alone may be a token of a web address; elsewhere, as in abfss://CONTAINER@ACCOUNT, it is none.
    """
    scheme = scheme.lower()
    pair = _USER_AND_PASSWORD.match(rest)
    if pair and not (scheme in (*_WEB, "") and _PORT.match(pair[2])):
        return pair.end()
    user = _ANY_USER.match(rest) if scheme in _WEB else None
    return user.end() if user else 0


def _address(text: str) -> str:
    return without_secret(text, "")


# Of a store or a server.
Address = Annotated[str, AfterValidator(_address)]


def _inside(path: str) -> str:
    """Raise ValueError if a path may lead out of the folder that it is under."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise ValueError("leads out of its folder; a path is relative, without '..'")
    return path


# A path in a manifest, under a root that is given elsewhere.
RelativePath = Annotated[str, AfterValidator(_inside)]
