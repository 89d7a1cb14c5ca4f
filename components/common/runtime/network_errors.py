"""Short reasons for network failures, from the exception chain that a client raises."""

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from recap_model.config.reading.errors import in_one_line

_LONGEST = 200
_PORTS = {"http": 80, "https": 443}


def network_reason(error: BaseException, address: str) -> str | None:
    """Host, port and reason of the failure; None if the chain contains no network error.

    >>> try:
    ...     raise RuntimeError("no answer") from ConnectionRefusedError(111, "Connection refused")
    ... except RuntimeError as error:
    ...     network_reason(error, "http://mlflow:5000")
    'mlflow port 5000: connection refused'
    """
    first = next((reason for one in _chain(error) if (reason := _reason(one)) is not None), None)
    return None if first is None else f"{_host_and_port(address)}{first}"


def _reason(error: BaseException) -> str | None:
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case socket.gaierror():
            return "unknown host"
        case ssl.SSLError():
            return f"TLS: {getattr(error, 'verify_message', '') or error.reason or in_one_line(error)}"
        case TimeoutError():
            return "timed out"
        case ConnectionError() if type(error).__module__ in ("builtins", "http.client"):
            return "the connection was closed before a response"
    if type(error).__name__ == "ResponseError":  # urllib3's, after its last attempt
        return in_one_line(error)[:_LONGEST]
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all its causes, the root cause first."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        inner = getattr(one.args[0], "reason", None) if one.args else None
        waiting += [inner if isinstance(inner, BaseException) else None, one.__context__, one.__cause__]
    yield from reversed(seen)


def _host_and_port(address: str) -> str:
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.hostname} port {port}: " if parts.hostname and port else ""
