"""A server's stand-in on loopback: passes on what clients and the server say, until it is told to do worse."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from tests.servers import Process, mlflow_server

Way = Literal["refuses", "hangs", "answers get lost", "an answer is cut off", "is slow"]

SLOW_S = 0.03  # before each part of an answer
_PART = 1 << 16


class Proxy:
    """Listens on a port of its own for a server on another one. What is sent at once counts as a request.

    Args:
        server_port: of 127.0.0.1.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._way: Way | None = None
        self._requests = self._first = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @property
    def requests(self) -> int:
        """How many have come."""
        return self._requests

    def disturb(self, way: Way, after: int) -> None:
        """Let so many more requests pass, and then do worse until `rest`; of answers only one is cut off."""
        self._way, self._first = way, self._requests + after
        if after == 0 and way == "refuses":
            self._refuse()

    def rest(self) -> None:
        """Pass everything on again. Connections that were open are not any more."""
        self._way = None
        self._close_all()
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Close everything."""
        self._refuse()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One connection, until either side ends it."""
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self.server_port)) as server:
            with self._lock:
                self._open |= {client, server}
            answers = threading.Thread(target=self._answer, args=(server, client), daemon=True)
            answers.start()
            while said := client.recv(_PART):
                self._requests += 1
                way = self._now()
                if way == "refuses":
                    self._refuse()
                    return
                if way != "hangs":
                    server.sendall(said)
            _end(server)
            answers.join()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while said := server.recv(_PART):
                match self._now():
                    case "hangs" | "answers get lost":
                        continue
                    case "an answer is cut off":
                        self._way = None
                        client.sendall(said[: len(said) // 2])
                        break
                    case "is slow":
                        time.sleep(SLOW_S)
                client.sendall(said)
        _end(client)
        _end(server)

    def _now(self) -> Way | None:
        return self._way if self._requests > self._first else None

    def _refuse(self) -> None:
        # A listener that another thread waits on goes on listening until it is shut down.
        _end(self._listener)
        self._listener.close()
        self._close_all()

    def _close_all(self) -> None:
        with self._lock:
            for one in self._open:
                _end(one)
            self._open.clear()


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Process, Proxy]]:
    """A server of MLflow behind a proxy: the proxy's URI, the server's process, the proxy."""
    with mlflow_server(folder, f"sqlite:///{folder / 'mlflow.db'}") as (uri, process):
        proxy = Proxy(int(uri.rpartition(":")[2]))
        try:
            yield f"http://127.0.0.1:{proxy.port}", process, proxy
        finally:
            proxy.stop()
