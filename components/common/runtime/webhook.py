"""One POST of signed JSON to those who must know of an event, where the environment names them."""

import hashlib
import hmac
import json
import logging
import os
import uuid
from datetime import UTC, datetime
from typing import Any

URL = "RECAP_WEBHOOK_URL"
SECRET = "RECAP_WEBHOOK_SECRET"
SIGNATURE = "X-Recap-Signature"
_ATTEMPTS = 4
_TIMEOUT_S = 10.0
_BACKOFF_S = 0.5
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "recap-event/1")

log = logging.getLogger(__name__)


def send(event: str, content: dict[str, Any]) -> bool:
    """POST an event to ``RECAP_WEBHOOK_URL``; returns whether it arrived. Without a URL there is nothing to do.

    The body is JSON: ``format`` "recap-event/1", ``event``, ``id`` (of the event and its content, so that a step that
    is repeated tells of the same), ``time`` (UTC, ISO 8601) and ``content``. With ``RECAP_WEBHOOK_SECRET`` the header
    ``X-Recap-Signature`` is ``sha256=`` and the hex HMAC-SHA256 of the body under it (RFC 2104). A server error, a
    refusal to connect or no answer in 10 s is tried four times in all, waiting 0, 1 and 2 s. What does not arrive is
    logged, and never ends a step.
    """
    url = os.environ.get(URL, "")
    told = json.dumps(content, default=str)
    log.info("event=%s content=%s", event, told)
    if not url:
        return False
    if not url.startswith(("http://", "https://")):
        log.warning("%s: not an http(s) address; nobody was told of %s", URL, event)
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
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    retry = Retry(
        total=_ATTEMPTS - 1,
        backoff_factor=_BACKOFF_S,
        status_forcelist=range(500, 600),
        allowed_methods={"POST"},
        raise_on_status=False,
    )
    # It repeats the address, which may hold a token, at every attempt.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=retry))
            session.mount("https://", HTTPAdapter(max_retries=retry))
            answer = session.post(url, data=body, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        log.warning("the webhook was not told of %s: %s", event, type(error).__name__)
        return False
    if answer.status_code >= 300:
        log.warning("the webhook answered %d to %s", answer.status_code, event)
        return False
    return True
