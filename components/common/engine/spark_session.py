"""Opening a Spark session: what is missing or cannot be reached is one line with what to do."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from components.common.engine.spark_errors import explained

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CONNECT_TIMEOUT_S = 10.0
_PYTHON = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
_CONF = {
    "spark.ui.showConsoleProgress": "false",
    # Of pieces of up to 4 MB.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "16",
}
_LOCAL_CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}


def open_session(master: str, conf: Mapping[str, str]) -> tuple["SparkSession", Callable[[], None]]:
    """A session, and what closes it; one that is already active in this process is used, and not closed.

    Raises:
        ModuleNotFoundError: pyspark or Java is not installed.
        ConnectionError: the master cannot be reached.
        ValueError: the server runs another version of Spark.
        SparkError: Spark cannot be started.
    """
    _check_installed(master)
    _check_reachable(master)
    from pyspark.sql import SparkSession

    for name in _PYTHON:
        os.environ[name] = sys.executable
    connect = master.startswith("sc://")
    active = None if connect else SparkSession.getActiveSession()
    builder = SparkSession.builder.appName("recap")
    builder = builder.remote(master) if connect else builder.master(master)
    local = _LOCAL_CONF if master.startswith("local") else {}
    for name, value in {**_CONF, **local, **conf}.items():
        builder = builder.config(name, value)
    with explained(master):
        session = builder.getOrCreate()
        _check_version(master, session.version)
    if not connect:
        session.sparkContext.setLogLevel("ERROR")
    return session, (lambda: None) if active is not None else session.stop


def _check_installed(master: str) -> None:
    try:
        import pyspark  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError(
            "data.engine.kind is spark, and pyspark is not installed; install recap[spark], run the step in the "
            "image recap-data-spark, or set data.engine.kind to local"
        ) from None
    if master.startswith("sc://"):
        try:
            import grpc  # noqa: F401
        except ImportError:
            raise ModuleNotFoundError(
                f"data.engine.master is {master}, and Spark Connect needs grpcio; install pyspark[connect]"
            ) from None
    elif not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise ModuleNotFoundError(
            "data.engine.kind is spark, and there is no Java; install a JRE of version 17 or 21, run the step in the "
            "image recap-data-spark, or set data.engine.kind to local"
        )


def _check_reachable(master: str) -> None:
    """Connect once: Spark itself tries for minutes, and reports it in a stack trace."""
    scheme = master.partition("://")[0]
    if scheme not in ("spark", "sc"):
        return
    # A standby master may be given too: spark://first:7077,second:7077.
    for address in master.removeprefix(f"{scheme}://").split(","):
        where = urlsplit(f"//{address.partition(';')[0]}")
        try:
            port = where.port or (15002 if scheme == "sc" else 7077)
            socket.create_connection((where.hostname or "", port), _CONNECT_TIMEOUT_S).close()
            return
        except (OSError, ValueError):
            continue
    raise ConnectionError(
        f"data.engine.master {master} cannot be reached; check that it runs, its address and port, and that the "
        "network lets this machine in"
    )


def _check_version(master: str, version: str) -> None:
    import pyspark

    if version.split(".")[:2] != pyspark.__version__.split(".")[:2]:
        raise ValueError(
            f"{master} runs Spark {version}, and pyspark {pyspark.__version__} is installed here; both need the same "
            "version to the second number"
        )
