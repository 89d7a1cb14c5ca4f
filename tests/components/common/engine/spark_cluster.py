"""A standalone Spark cluster on loopback, of PySpark's own scripts: one master and its workers, in processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyspark

from tests.servers import free_port

_HOME = Path(pyspark.__file__).parent
_DEPLOY = "org.apache.spark.deploy"
_START_S = 60.0


@dataclass
class Cluster:
    """A running cluster.

    Attributes:
        master: its address, ``spark://…``.
        workers: their processes; an executor is a child of its worker.
    """

    master: str
    workers: list[subprocess.Popen[bytes]]

    def executors(self) -> list[int]:
        """Process ids of the JVMs that run tasks."""
        children = [child for worker in self.workers for child in _children(worker.pid)]
        return [child for child in children if b"CoarseGrainedExecutorBackend" in _command(child)]

    def kill_executor(self) -> None:
        """Kill an executor by SIGKILL, as soon as there is one."""
        deadline = time.monotonic() + _START_S
        while not (executors := self.executors()):
            assert time.monotonic() < deadline, "no executor started"
            time.sleep(0.05)
        os.kill(executors[0], signal.SIGKILL)


@contextmanager
def standalone_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Start a cluster whose workers have one core and 1 GiB each, with its files in ``folder``."""
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    environment = os.environ | {
        "SPARK_HOME": str(_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }

    def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(_HOME / "bin" / "spark-class"), *arguments]
        with (folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    host = ("--host", "127.0.0.1", "--webui-port", "0")
    processes = [start("master", f"{_DEPLOY}.master.Master", *host, "--port", str(port))]
    try:
        _wait_for(port)
        for number in range(workers):
            own = ("--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"work-{number}"))
            processes.append(start(f"worker-{number}", f"{_DEPLOY}.worker.Worker", *host, *own, master))
        yield Cluster(master, processes[1:])
    finally:
        for process in reversed(processes):
            for child in (*_children(process.pid), process.pid):
                os.kill(child, signal.SIGKILL)
            process.wait()


def _children(parent: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"no Spark master on port {port} after {_START_S:.0f} s")
