"""Webhook: one POST of signed JSON per event, to the URL in the environment."""

import hashlib
import hmac
import json
import logging
import os
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components.common.runtime.http_status import request_status
from components.common.runtime.network_errors import network_reason

if TYPE_CHECKING:
    import requests

URL = "RECAP_WEBHOOK_URL"
SECRET = "RECAP_WEBHOOK_SECRET"
SIGNATURE = "X-Recap-Signature"
_ANSWER_S, _IN_ALL_S = 10.0, 30.0
_PAUSES_S = (0.0, 1.0, 2.0)
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "recap-event/1")

log = logging.getLogger(__name__)


def send(event: str, content: dict[str, Any]) -> bool:
    """POST an event to ``RECAP_WEBHOOK_URL``; returns whether it was delivered. Without a URL nothing is sent.

    The body is JSON: ``format`` "recap-event/1", ``event``, ``id`` (derived from the event and its content, so that a
    repeated step sends the same id), ``time`` (UTC, ISO 8601) and ``content``. With ``RECAP_WEBHOOK_SECRET`` the
    header ``X-Recap-Signature`` is ``sha256=`` and the hex HMAC-SHA256 of the body (RFC 2104). A server error, a
    refused connection or no response within 10 s is retried up to three times after 0, 1 and 2 s, within 30 s in
    total; only the response's status is read. A failed delivery is logged and never fails a step.
    """
    url = os.environ.get(URL, "")
    content_json = json.dumps(content, default=str)
    log.info("event=%s content=%s", event, content_json)
    if not url:
        return False
    if not url.startswith(("http://", "https://")):
        log.warning("%s: not an http(s) address; the event %s was not sent", URL, event)
        return False
    message = {
        "format": "recap-event/1",
        "event": event,
        "id": str(uuid.uuid5(_NAMESPACE, f"{event} {content_json}")),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "content": content,
    }
    body = json.dumps(message, default=str).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "recap"}
    secret = os.environ.get(SECRET, "")
    if secret:
        headers[SIGNATURE] = sign(body, secret)
    return _post(url, body, headers, event)


def sign(body: bytes, secret: str) -> str:
    """The value of the signature header for a body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _post(url: str, body: bytes, headers: dict[str, str], event: str) -> bool:
    import requests

    # It logs the address, which may contain a token, at every attempt.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    request = requests.Request("POST", url, data=body, headers=headers)
    end = time.monotonic() + _IN_ALL_S
    for pause_s in (*_PAUSES_S, None):
        reason, lasting = _try(request, min(_ANSWER_S, end - time.monotonic()))
        if not reason:
            return True
        if lasting or pause_s is None or time.monotonic() + pause_s >= end:
            break
        time.sleep(pause_s)
    log.warning("the event %s was not sent to the webhook: %s", event, reason)
    return False


def _try(request: "requests.Request", within_s: float) -> tuple[str, bool]:
    """The reason that delivery failed, empty if it did not; and whether the failure is permanent."""
    import requests

    try:
        status = request_status(request, within_s)
    except (OSError, ValueError) as error:
        passing = isinstance(error, requests.ConnectionError | requests.Timeout | TimeoutError)
        # The text of an error of requests contains the address.
        return network_reason(error, "") or type(error).__name__, not passing
    return ("" if status < 300 else f"it responded with status {status}"), status < 500
