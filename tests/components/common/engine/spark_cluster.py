"""A standalone Spark cluster on loopback, of PySpark's own scripts: one master and its workers, in processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark

from tests.servers import free_port

_HOME = Path(pyspark.__file__).parent
_DEPLOY = "org.apache.spark.deploy"
_START_S = 60.0


@contextmanager
def standalone_cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """Start a cluster of workers with one core and 1 GiB each; yields the master's address."""
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
        yield master
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"no Spark master on port {port} after {_START_S:.0f} s")
