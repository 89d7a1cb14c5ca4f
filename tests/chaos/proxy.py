"""A proxy before a server on loopback that forwards requests and answers, and can be told to disturb them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from tests.servers import Process, mlflow_server

Disturbance = Literal["refuses", "hangs", "loses answers", "cuts an answer off", "is slow"]

_DELAY_S = 0.03  # before each chunk of an answer
_CHUNK = 1 << 16


class Proxy:
    """Listens on a port of its own for a server on another one. Each chunk that a client sends counts as a request.

    Args:
        server_port: of 127.0.0.1.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._disturbance: Disturbance | None = None
        self._requests = self._first = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @property
    def requests(self) -> int:
        """How many have arrived."""
        return self._requests

    def disturb(self, disturbance: Disturbance, after: int) -> None:
        """Forward a number of requests, then disturb until `recover`; only one answer is cut off."""
        self._disturbance, self._first = disturbance, self._requests + after
        if after == 0 and disturbance == "refuses":
            self._refuse()

    def recover(self) -> None:
        """Forward everything again. Connections that were open are closed."""
        self._disturbance = None
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
            while data := client.recv(_CHUNK):
                self._requests += 1
                disturbance = self._current()
                if disturbance == "refuses":
                    self._refuse()
                    return
                if disturbance != "hangs":
                    server.sendall(data)
            _shut_down(server)
            answers.join()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                match self._current():
                    case "hangs" | "loses answers":
                        continue
                    case "cuts an answer off":
                        self._disturbance = None
                        client.sendall(data[: len(data) // 2])
                        break
                    case "is slow":
                        time.sleep(_DELAY_S)
                client.sendall(data)
        _shut_down(client)
        _shut_down(server)

    def _current(self) -> Disturbance | None:
        return self._disturbance if self._requests > self._first else None

    def _refuse(self) -> None:
        # A listener that another thread waits on goes on listening until it is shut down.
        _shut_down(self._listener)
        self._listener.close()
        self._close_all()

    def _close_all(self) -> None:
        with self._lock:
            for connection in self._open:
                _shut_down(connection)
            self._open.clear()


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def mlflow_behind_proxy(folder: Path) -> Iterator[tuple[str, Process, Proxy]]:
    """An MLflow server behind a proxy: the proxy's URI, the server's process, the proxy."""
    with mlflow_server(folder, f"sqlite:///{folder / 'mlflow.db'}") as (uri, process):
        proxy = Proxy(int(uri.rpartition(":")[2]))
        try:
            yield f"http://127.0.0.1:{proxy.port}", process, proxy
        finally:
            proxy.stop()
