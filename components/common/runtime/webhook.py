"""One POST of signed JSON to those who must know of an event, where the environment names them."""

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
    """POST an event to ``RECAP_WEBHOOK_URL``; returns whether it arrived. Without a URL there is nothing to do.

    The body is JSON: ``format`` "recap-event/1", ``event``, ``id`` (of the event and its content, so that a step that
    is repeated tells of the same), ``time`` (UTC, ISO 8601) and ``content``. With ``RECAP_WEBHOOK_SECRET`` the header
    ``X-Recap-Signature`` is ``sha256=`` and the hex HMAC-SHA256 of the body under it (RFC 2104). A server error, a
    refusal to connect or no answer in 10 s is tried four times, waiting 0, 1 and 2 s, for 30 s in all; of an answer
    only the status is read. What does not arrive is logged, and never ends a step.
    """
    url = os.environ.get(URL, "")
    told = json.dumps(content, default=str)
    log.info("event=%s content=%s", event, told)
    if not url:
        return False
    if not url.startswith(("http://", "https://")):
        log.warning("%s: not an http(s) address; the event %s was not sent", URL, event)
        return False
    message = {
        "format": "recap-event/1",
        "event": event,
        "id": str(uuid.uuid5(_NAMESPACE, f"{event} {told}")),
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
    """The value of the signature's header for a body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _post(url: str, body: bytes, headers: dict[str, str], event: str) -> bool:
    import requests

    # It repeats the address, which may hold a token, at every attempt.
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
    """Why an event did not arrive, empty if it did; and whether it would not if it were sent again."""
    import requests

    try:
        status = request_status(request, within_s)
    except (OSError, ValueError) as error:
        passing = isinstance(error, requests.ConnectionError | requests.Timeout | TimeoutError)
        # What requests says repeats the address.
        return network_reason(error, "") or type(error).__name__, not passing
    return ("" if status < 300 else f"it answered {status}"), status < 500
