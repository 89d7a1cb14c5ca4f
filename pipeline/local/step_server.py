"""The process that a local run's steps are forked from: ``python -m pipeline.local.step_server DESCRIPTOR``.

Importing torch, MLflow and Great Expectations takes seconds. The server imports each of them once, ahead of the step
that needs it, while the previous step runs. It runs no step's code, so that no step affects another.
"""

import contextlib
import importlib
import os
import signal
import sys
import warnings
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any

from components.steps import STEP_OF_NAME

# What steps import only when they use it, by their image: a database of MLflow's; torch's optimizers.
_IMPORTED_LATE = {
    "registry": (
        "mlflow.pyfunc",
        "mlflow.store.db.utils",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_store",
        "alembic.command",
    ),
    "trainer": ("torch._dynamo",),
}


def main(requests: "Connection[None, tuple[Any, ...]]") -> None:
    """Serve requests until the run closes its end of the connection, or has ended.

    A request is ``(STEP,)``, to import what a step needs; or ``(STEP, arguments, environment)``, to run kfp's
    executor in a new process, followed by two descriptors: for its output, and for its exit status.
    """
    # A terminal interrupts the whole process group: that is for the run and the step.
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    monitors: list[int] = []
    while True:
        try:
            step, *call = requests.recv()
        except EOFError:
            # So that the steps' processor time and memory count as the run's.
            for monitor in monitors:
                os.waitpid(monitor, 0)
            os._exit(0)
        _import_modules(step)
        if call:
            monitor = _fork_monitor(recv_handle(requests), recv_handle(requests))
            if not monitor:
                break
            monitors.append(monitor)
    requests.close()
    signal.signal(signal.SIGINT, on_interrupt)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"recap {step}")
    sys.argv[1:], variables = call
    os.environ.update(variables)
    from kfp.dsl.executor_main import executor_main

    executor_main()


def _fork_monitor(output: int, status: int) -> int:
    """Fork a monitor, which forks the step and reports its exit status. Returns its id; 0 in the step's process."""
    if monitor := os.fork():
        os.close(output)
        os.close(status)
        return monitor
    step = os.fork()
    if step == 0:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.close(status)
        return 0
    os.close(output)
    _, ended = os.waitpid(step, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(status, str(os.waitstatus_to_exitcode(ended)).encode())
    os._exit(0)


def _import_modules(name: str) -> None:
    step = STEP_OF_NAME.get(name)
    if step is None:
        return
    for module in ("kfp.dsl.executor_main", f"components.{name}.{name}", *_IMPORTED_LATE.get(step.image, ())):
        # An import error is reported by the step, which imports the module again.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            importlib.import_module(module)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
