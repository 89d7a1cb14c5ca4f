"""What a receiver of events gets, over a real socket."""

import contextlib
import gzip
import hashlib
import hmac
import json
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.common.runtime import webhook
from components.notify.notify import report_run_end


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent, and answers with the statuses it is given, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=hidden"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhook, "_PAUSES_S", (0.0, 0.0, 0.0))
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(webhook.URL, server.url)
        yield server
        server.shutdown()
        thread.join()


def test_an_event_is_signed_json(receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(webhook.SECRET, "key")
    assert webhook.send("held", {"version": "3"})
    ((headers, body),) = receiver.got
    message = json.loads(body)
    assert message["format"] == "recap-event/1"
    assert (message["event"], message["content"]) == ("held", {"version": "3"})
    expected = "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert headers["X-Recap-Signature"] == expected


def test_without_a_secret_nothing_is_signed(receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(webhook.SECRET, raising=False)
    assert webhook.send("held", {})
    assert "X-Recap-Signature" not in receiver.got[0][0]


def test_a_receiver_that_stumbles_gets_the_same_event_again(receiver: Receiver):
    receiver.answers = [503, 500, 502]
    assert webhook.send("promoted", {})
    bodies = [body for _, body in receiver.got]
    assert len(bodies) == 4
    assert len(set(bodies)) == 1


def test_an_event_that_a_repeated_step_tells_again_has_the_same_id(receiver: Receiver):
    for content in ({"run_id": "1"}, {"run_id": "1"}, {"run_id": "2"}):
        webhook.send("held", content)
    first, again, other = (json.loads(body)["id"] for _, body in receiver.got)
    assert first == again != other


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("COMPLETE", "SUCCEEDED"),
        ("SUCCEEDED", "SUCCEEDED"),
        ("FAILED", "FAILED"),
        ("CANCELED", "CANCELLED"),
        ("CANCELLED", "CANCELLED"),
    ],
)
def test_the_end_of_a_run_is_told_in_the_apis_words(receiver: Receiver, state: str, said: str):
    assert report_run_end("1", "retrain 2026-03-06", state, "")
    message = json.loads(receiver.got[0][1])
    assert message["event"] == "run_ended"
    assert message["content"] == {
        "run_id": "1",
        "run_name": "retrain 2026-03-06",
        "state": said,
        "error": None,
    }


@pytest.mark.parametrize(("answers", "attempts"), [([500] * 9, 4), ([404], 1), ([302], 1)])
def test_what_does_not_arrive_is_a_warning_that_hides_the_address(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, answers: list[int], attempts: int
):
    receiver.answers = answers
    with caplog.at_level(logging.INFO):
        assert not webhook.send("promoted", {})
    assert len(receiver.got) == attempts
    assert "WARNING" in caplog.text
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/?token=hidden", "ftp://127.0.0.1/?token=hidden"])
def test_nobody_there_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str
):
    monkeypatch.setattr(webhook, "_PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setenv(webhook.URL, url)
    assert not webhook.send("promoted", {})
    assert "promoted" in caplog.text
    assert "hidden" not in caplog.text


def test_without_an_address_there_is_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.delenv(webhook.URL, raising=False)
    assert not webhook.send("held", {})
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


BOMB = gzip.compress(bytes(50_000_000))
FLOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + bytes(1_000_000)


@pytest.mark.parametrize(
    ("sent", "piece", "arrives"),
    [
        (b"HTTP/1.1 200 OK\r\n" * 1000, 1, False),  # a byte at a time
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 25, False),
        (FLOOD, len(FLOOD), True),
        (FLOOD.replace(b"200 OK", b"302 Found\r\nLocation: /"), len(FLOOD), False),
        (FLOOD.replace(b"200 OK", b"503 No\r\nRetry-After: 99999"), len(FLOOD), False),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
            len(BOMB),
            True,
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + bytes(10_000_000), 10_000_000, False),  # a header without an end
        (b"what?\r\n\r\n", 100, False),
        (b"", 1, False),
    ],
)
def test_a_receiver_that_misbehaves_costs_a_bounded_time_and_little_memory(
    sent: bytes, piece: int, arrives: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(webhook, "_ANSWER_S", 0.3)
    monkeypatch.setattr(webhook, "_IN_ALL_S", 0.8)
    monkeypatch.setattr(webhook, "_PAUSES_S", (0.0, 0.0, 0.0))
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            for start in range(0, len(sent), piece):
                connection.sendall(sent[start : start + piece])
                if over.wait(0.05):
                    return

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv(webhook.URL, f"http://127.0.0.1:{listener.getsockname()[1]}/?token=hidden")
        threading.Thread(target=serve, daemon=True).start()
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        assert webhook.send("promoted", {}) == arrives
        assert time.monotonic() - began < 5
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
    assert ("was not sent to the webhook: " in caplog.text) != arrives
    assert "hidden" not in caplog.text
