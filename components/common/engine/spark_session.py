"""Opening a Spark session: what is missing or cannot be reached is one line with what to do."""

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from components.common.engine.kubernetes import CLUSTER_MASTER, executor_settings, kubernetes_conf
from components.common.engine.spark_errors import explained

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CONNECT_TIMEOUT_S = 10.0
_SCHEDULER = "org.apache.spark.scheduler.TaskSchedulerImpl"
_PYTHON = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
# Of pieces of up to 256 KiB.
_CONF = {"spark.sql.execution.arrow.maxRecordsPerBatch": "64"}
_DRIVER_CONF = {
    "spark.ui.showConsoleProgress": "false",
    "spark.python.daemon.module": "components.common.engine.spark_daemon",
    # A driver plans and schedules: to optimize its code takes more time than it saves.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
}
_LOCAL_CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # There is no network to spare.
    "spark.shuffle.compress": "false",
}


def choose_master(master: str | None) -> str:
    """The master of a config; without one, the cluster whose executors this pod was given, or this machine."""
    return master or (CLUSTER_MASTER if executor_settings() is not None else "local[*]")


def open_session(master: str, conf: Mapping[str, str]) -> tuple["SparkSession", Callable[[], None]]:
    """A session, and what closes it; one that is already active in this process is used, and not closed.

    On Kubernetes (``k8s://…``) the executors are those of the cluster's file; ``conf`` goes before.

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
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="recap-"))
        driver = {} if connect else _DRIVER_CONF
        for name, value in {**_CONF, **driver, **_conf_of(master, Path(folder)), **conf}.items():
            builder = builder.config(name, value)
        with explained(master):
            session = builder.getOrCreate()
            _check_version(master, session.version)
        if not connect:
            _quiet(session)
        if active is None:
            stack.callback(session.stop)
        return session, stack.pop_all().close


def _quiet(session: "SparkSession") -> None:
    """Log errors only, and of the scheduler that it waits for executors, which it does for ever."""
    context = session.sparkContext
    context.setLogLevel("ERROR")
    log4j = context._jvm.org.apache.logging.log4j
    log4j.core.config.Configurator.setLevel(_SCHEDULER, log4j.Level.WARN)


def _conf_of(master: str, folder: Path) -> dict[str, str]:
    if master.startswith("local"):
        return _LOCAL_CONF
    if not master.startswith("k8s://"):
        return {}
    settings = executor_settings()
    if settings is None:
        raise ValueError(
            f"data.engine.master is {master}, and this step was given no executors; run it on a cluster whose file "
            "has spark (docs/cluster.md), or use another master"
        )
    return kubernetes_conf(settings, folder)


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
