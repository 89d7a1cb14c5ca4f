"""Training in several processes of this machine, started and monitored by torch's elastic agent, as by torchrun."""

import json
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.runtime.environment import environment, python_environment
from components.common.runtime.process_pool import describe_signal, exit_with_parent
from components.common.runtime.step import RetryableError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

ERRORS_VARIABLE = "RECAP_TRAIN_ERRORS"
SECRETS_VARIABLE = "RECAP_SECRETS"
PARENT_VARIABLE = "RECAP_TRAIN_PARENT"
_LOOPBACK = "127.0.0.1"
_UNKNOWN_CAUSE = 3


def run_group(processes: int, arguments: list[str]) -> None:
    """Run ``components.train.local.worker`` in ``processes`` processes, and wait for all.

    SIGTERM is forwarded to them; they have 30 s to write a checkpoint.

    Raises:
        KeyboardInterrupt: SIGINT was received.
        RetryableError: they were stopped by SIGTERM.
        ValueError: one of them failed; the message is its own.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory() as errors:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint=f"{_LOOPBACK}:0",
            # The default is this machine's host name, which may not resolve.
            local_addr=_LOOPBACK,
            max_restarts=0,
        )
        threads = max(1, (os.cpu_count() or 1) // processes)
        variables = {
            **python_environment(),
            ERRORS_VARIABLE: errors,
            # A child that asks for its parent after this process has ended gets the process that adopted it.
            PARENT_VARIABLE: str(os.getpid()),
            "OMP_NUM_THREADS": str(threads),
        }
        with environment(variables), _own_signal_handlers():
            try:
                elastic_launch(config, sys.executable)("-m", "components.train.local.worker", *arguments)
            except SignalException as error:
                raise _signal_error(error.sigval, read_failure(Path(errors), "")) from None
            except ChildFailedError as error:
                raise read_failure(Path(errors), *describe_exit(error.failures)) from None


def describe_exit(failures: "dict[int, ProcessFailure]") -> tuple[str, str]:
    """How a process ended, as a fallback message; and the same as a prefix if it was killed by a signal."""
    for rank, failure in failures.items():
        if failure.exitcode < 0 and -failure.exitcode != signal.SIGTERM:  # by which the agent ends the others
            message = f"training process {rank} was {describe_signal(-failure.exitcode)}"
            return message, message
    rank, failure = max(failures.items(), key=lambda item: item[1].exitcode)
    status = f"training process {rank} ended with exit status {failure.exitcode}"
    return f"{status}; its last lines in the log may say why", ""


def _signal_error(number: signal.Signals, failure: Exception) -> BaseException:
    """The exception for a signal; a process that received it before it installed a handler reported no failure."""
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    if isinstance(failure, RetryableError):
        return failure
    return RetryableError("asked to stop; run again to resume from the newest checkpoint, if there is one")


@contextmanager
def report_failure() -> Iterator[None]:
    """Report an exception to the process that started this one, and exit with it if it is killed."""
    exit_with_parent(int(os.environ.get(PARENT_VARIABLE) or os.getppid()))
    try:
        yield
    except Exception as error:
        again = isinstance(error, RetryableError)
        plain = isinstance(error, ValueError | OSError)
        message = str(error) if again or plain else f"{type(error).__name__}: {str(error).splitlines()[0]}"
        # A process that fails because another one failed reports less than that one.
        failure = {
            "weight": 1 if plain else 2 if again else _UNKNOWN_CAUSE,
            "again": again,
            "message": message,
        }
        if ERRORS_VARIABLE in os.environ:
            path = Path(os.environ[ERRORS_VARIABLE]) / f"{int(os.environ['RANK']):06d}.json"
            path.write_text(json.dumps(failure))
        raise


def read_failure(errors: Path, otherwise: str, prefix: str = "") -> Exception:
    """The failure that the processes reported in the folder ``errors``, or a ValueError with another message.

    ``prefix`` comes first if no process reported the cause, because the failed one may have been killed.
    """
    failures = [json.loads(path.read_text()) for path in sorted(errors.glob("*.json"))]
    if not failures:
        return ValueError(otherwise)
    first = min(failures, key=lambda item: item["weight"])
    message = first["message"]
    if first["again"]:
        return RetryableError(message)
    return ValueError(f"{prefix} ({message})" if prefix and first["weight"] == _UNKNOWN_CAUSE else message)


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Restore this process's signal handlers: torch's agent leaves handlers that raise in later code."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
