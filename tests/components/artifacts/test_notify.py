"""Webhooks: signed, tried again while that can help, and never in the way of what happened."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.artifacts import notify as module
from components.artifacts.notify import Event, notify
from recap_model.config.registry import WebhookConfig

EVENT = Event(event="hold", name="m", version="3", run="run-3", reason="it is worse")


@dataclass
class Receiver:
    """A server on loopback that answers what it is told to, then 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def hook(self, **fields) -> WebhookConfig:
        return WebhookConfig(url=self.url, **fields)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.got.append((dict(self.headers), body))
            self.send_response(told.answers.pop(0) if told.answers else 204)
            self.send_header("Location", told.url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _secret_and_no_pauses(monkeypatch) -> None:
    monkeypatch.setenv("RECAP_WEBHOOK_SECRET", "s3cret")
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.001)


def test_an_event_arrives_as_json_with_a_signature_that_the_secret_gives(receiver: Receiver):
    assert notify(receiver.hook(), EVENT) is None
    ((headers, body),) = receiver.got
    assert json.loads(body) == EVENT.model_dump()
    signed = headers["X-Recap-Timestamp"].encode() + b"." + body
    assert headers["X-Recap-Signature"] == "sha256=" + hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert (headers["X-Recap-Event"], headers["X-Recap-Delivery"]) == ("hold", EVENT.id)


def test_a_receiver_in_trouble_is_tried_again_with_the_same_delivery(receiver: Receiver):
    receiver.answers = [503, 429, 500]
    assert notify(receiver.hook(), EVENT) is None
    assert len(receiver.got) == 4
    assert {headers["X-Recap-Delivery"] for headers, _ in receiver.got} == {EVENT.id}


def test_a_receiver_that_stays_in_trouble_is_given_up_in_one_line(receiver: Receiver):
    receiver.answers = [503] * 9
    assert notify(receiver.hook(attempts=2), EVENT) == f"registry.webhook: {receiver.url}: answered 503"
    assert len(receiver.got) == 2


@pytest.mark.parametrize("answer", [302, 401, 404])
def test_a_refusal_and_a_redirect_are_final(answer: int, receiver: Receiver):
    receiver.answers = [answer]
    assert f"answered {answer}" in (notify(receiver.hook(), EVENT) or "")
    assert len(receiver.got) == 1


def test_nobody_there_is_one_line_without_the_query_that_may_hold_a_token():
    trouble = notify(WebhookConfig(url="http://127.0.0.1:9/hook?token=hidden", attempts=2), EVENT)
    assert trouble is not None
    assert trouble.startswith("registry.webhook: http://127.0.0.1:9/hook: does not answer")
    assert "hidden" not in trouble


def test_without_its_secret_nothing_is_sent(receiver: Receiver, monkeypatch):
    monkeypatch.delenv("RECAP_WEBHOOK_SECRET")
    assert "the environment has no RECAP_WEBHOOK_SECRET" in (notify(receiver.hook(), EVENT) or "")
    assert receiver.got == []


def test_without_a_webhook_there_is_nothing_to_do():
    assert notify(None, EVENT) is None
