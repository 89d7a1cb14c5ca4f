"""Telling those who must know: an event as signed JSON to a webhook, tried again while that can help.

The body is an `Event` as JSON. Headers: ``X-Recap-Event`` (its kind), ``X-Recap-Delivery`` (the event's id, the same
in every attempt, so that a receiver drops repetitions), ``X-Recap-Timestamp`` (seconds since 1970), and
``X-Recap-Signature``: ``sha256=`` and the hexadecimal HMAC-SHA256, by the shared secret, of the timestamp, a dot, and
the body's bytes. A receiver computes it again, compares in constant time, and refuses timestamps of long ago.
"""

import hashlib
import hmac
import http.client
import logging
import os
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from recap_model.config.base import Config
from recap_model.config.registry import WebhookConfig

_FIRST_PAUSE_S = 0.5
_RETRIED = (408, 425, 429)  # besides every 5xx: the receiver may take the same request later

log = logging.getLogger(__name__)

Kind = Literal["promotion", "hold", "approval_wanted", "failure"]


class Event(Config):
    """What happened to a registered model.

    Attributes:
        event: ``promotion`` (a rollback is one, too), ``hold`` (the gate said no), ``approval_wanted`` (a version
            waits as challenger), ``failure`` (a step ended the run).
        name: the registered model.
        version: the version that this is about; None before there is one.
        previous: the champion before a promotion.
        run: the pipeline run, if it was one.
        step: the step that failed.
        who: of a promotion.
        reason: one sentence.
    """

    format: Literal["recap-event/1"] = "recap-event/1"
    event: Kind
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    when: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    name: str
    version: str | None = None
    previous: str | None = None
    run: str | None = None
    step: str | None = None
    who: str | None = None
    reason: str


def notify(webhook: WebhookConfig | None, event: Event) -> str | None:
    """Post an event; without a webhook nothing is to be done.

    What the event tells of has happened already, so a webhook that does not answer raises nothing.

    Returns:
        Why it was not delivered, in one line, or None.
    """
    if webhook is None:
        return None
    trouble = _deliver(webhook, event)
    if trouble is not None:
        log.warning("event=%s delivered=no reason=%r", event.event, trouble)
    return trouble


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of ``X-Recap-Signature``."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _deliver(webhook: WebhookConfig, event: Event) -> str | None:
    secret = os.environ.get(webhook.secret_env)
    if not secret:
        return (
            f"registry.webhook: the environment has no {webhook.secret_env}, so nothing was sent; set it to the "
            "secret that the receiver knows"
        )
    body = event.model_dump_json().encode()
    trouble: str | None = None
    for attempt in range(webhook.attempts):
        if attempt:
            time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
        trouble, again = _post(webhook, event, body, secret)
        if trouble is None or not again:
            break
    return trouble and f"registry.webhook: {webhook.url.partition('?')[0]}: {trouble}"


def _post(webhook: WebhookConfig, event: Event, body: bytes, secret: str) -> tuple[str | None, bool]:
    """One attempt: what went wrong, and whether another one may go better."""
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "recap",
        "X-Recap-Event": event.event,
        "X-Recap-Delivery": event.id,
        "X-Recap-Timestamp": timestamp,
        "X-Recap-Signature": sign(secret, timestamp, body),
    }
    request = urllib.request.Request(webhook.url, data=body, headers=headers, method="POST")
    try:
        with _OPENER.open(request, timeout=webhook.timeout_s):
            return None, False
    except urllib.error.HTTPError as error:
        return f"answered {error.code}", error.code >= 500 or error.code in _RETRIED
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        return f"does not answer ({reason})", True


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed body goes to the configured place alone."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)
