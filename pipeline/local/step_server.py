"""The server that a local run forks its steps from: ``python -m pipeline.local.step_server STEP=REQUEST,OUTPUT ...``.

Importing torch, MLflow and Great Expectations takes seconds. The server imports them once: after it has imported the
modules of a step, it forks the step's process, which waits for its turn while the server goes on to the next step. It
prints how each process ended, and exits with the last one.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from components.steps import STEP_OF_NAME

# What steps import only when they use it, by their image: MLflow with its database, and torch's optimizers.
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
_DRAWING = frozenset({"validate", "train", "calibrate", "evaluate", "promote", "watch"})
_CHARTS = "components.common.html.charts.vega"
_BLOCKED = frozenset({signal.SIGCHLD, signal.SIGINT})
_LONGEST_NAME = 15  # of a process, in Linux


@dataclass(frozen=True)
class StepPipes:
    """A step's name, and the file descriptors of the pipes from which it reads its request and to which it prints."""

    name: str
    request: int
    output: int

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read what `argument` wrote."""
        name, _, numbers = argument.partition("=")
        request, output = map(int, numbers.split(","))
        return cls(name, request, output)

    def argument(self) -> str:
        """The pipes as an argument of the server."""
        return f"{self.name}={self.request},{self.output}"

    def close(self) -> None:
        """Close this process's ends."""
        os.close(self.request)
        os.close(self.output)


def main(arguments: Sequence[str]) -> None:
    """Fork the steps' processes; in each of them, wait for the request and run kfp's executor."""
    step = _fork_steps([StepPipes.parse(argument) for argument in arguments])
    if step is not None:
        _run(step)


def _fork_steps(steps: Sequence[StepPipes]) -> StepPipes | None:
    """Import the modules of each step and fork its process.

    Returns the step in its process, and None in the server, after all processes have ended.
    """
    interrupted = False

    def note_interrupt(*_: Any) -> None:
        nonlocal interrupted
        interrupted = True

    # A terminal interrupts the run, its step and this server. The run still wants to know how its step ends.
    signal.signal(signal.SIGINT, note_interrupt)
    # What a module prints when it is imported goes nowhere; statuses are printed to the pipe.
    statuses = os.dup(1)
    os.dup2(2, 1)
    processes: dict[int, str] = {}

    def report(pid: int, status: int) -> None:
        if pid in processes:
            os.write(statuses, f"{processes.pop(pid)} {os.waitstatus_to_exitcode(status)}\n".encode())

    def report_ended(*_: Any) -> None:
        for pid in list(processes):
            report(*os.waitpid(pid, os.WNOHANG))

    # At once, also during an import: the run waits for it.
    signal.signal(signal.SIGCHLD, report_ended)
    for number, step in enumerate(steps):
        _import_modules(step.name)
        if interrupted:
            for missing in steps[number:]:
                missing.close()
                os.write(statuses, f"{missing.name} {-signal.SIGINT}\n".encode())
            break
        # A process that ended before it is in the table would not be reported, and one that is interrupted before it
        # can clean up is not to lose the interrupt: `_run` unblocks it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        pid = os.fork()
        if pid == 0:
            os.close(statuses)
            # Otherwise the pipes of a later step would stay open as long as this process runs.
            for later in steps[number + 1 :]:
                later.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            return step
        processes[pid] = step.name
        step.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while processes:
        report(*os.wait())
    return None


def _import_modules(name: str) -> None:
    modules = ["kfp.dsl.executor_main"]
    if (step := STEP_OF_NAME.get(name)) is not None:
        modules += [f"components.{name}.{name}", *_IMPORTED_LATE.get(step.image, ())]
    for module in modules:
        # An import error is reported by the step, which imports the module again.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            importlib.import_module(module)


def _run(step: StepPipes) -> None:
    """Wait for the line that tells the step to get ready, and for the request: arguments and environment as JSON.

    End of input means that the run has ended.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (step.output, 1), (step.output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(step.output)
    with contextlib.suppress(OSError):  # for ps and top
        Path("/proc/self/comm").write_text(f"recap {step.name}"[:_LONGEST_NAME])
    with open(step.request, encoding="utf-8") as pipe:
        # The renderer of charts has threads, which a fork would not copy; it takes longer to start than to draw.
        if pipe.readline() and step.name in _DRAWING and (charts := sys.modules.get(_CHARTS)):
            charts.start()
        request = pipe.readline()
    if not request:
        os._exit(0)
    from kfp.dsl.executor_main import executor_main

    sys.argv[1:], variables = json.loads(request)
    os.environ.update(variables)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        executor_main()
    except KeyboardInterrupt:  # outside the step's own code
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
