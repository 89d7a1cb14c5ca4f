"""Training in several processes of this machine, started and watched by torch's elastic agent, as torchrun does."""

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
_UNKNOWING = 3


def run_group(processes: int, arguments: list[str]) -> None:
    """Run ``components.train.local.worker`` in so many processes, and wait for all.

    SIGTERM is handed on to them; they have 30 s to write a checkpoint.

    Raises:
        KeyboardInterrupt: SIGINT came.
        RetryableError: they were asked to stop, and did.
        ValueError: one of them failed; the words are its own.
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
            # By default the name of this machine, which need not have an address.
            local_addr=_LOOPBACK,
            max_restarts=0,
        )
        threads = max(1, (os.cpu_count() or 1) // processes)
        variables = {
            **python_environment(),
            ERRORS_VARIABLE: errors,
            # Asked for later, it would be the process that takes in orphans, had this one ended before.
            PARENT_VARIABLE: str(os.getpid()),
            "OMP_NUM_THREADS": str(threads),
        }
        with environment(variables), _own_signal_handlers():
            try:
                elastic_launch(config, sys.executable)("-m", "components.train.local.worker", *arguments)
            except SignalException as error:
                raise _stopped(error.sigval, told(Path(errors), "")) from None
            except ChildFailedError as error:
                raise told(Path(errors), *unsaid(error.failures)) from None


def unsaid(failures: "dict[int, ProcessFailure]") -> tuple[str, str]:
    """How a process ended, where none said anything; and the same if it was by a signal, which none can say."""
    for rank, failure in failures.items():
        if failure.exitcode < 0 and -failure.exitcode != signal.SIGTERM:  # by which the agent ends the others
            said = f"training process {rank} was {describe_signal(-failure.exitcode)}"
            return said, said
    rank, failure = max(failures.items(), key=lambda item: item[1].exitcode)
    status = f"training process {rank} ended with exit status {failure.exitcode}"
    return f"{status}; its last lines in the log may say why", ""


def _stopped(number: signal.Signals, said: Exception) -> BaseException:
    """What is raised after a signal; a process that it met before it could wait for one has said nothing of it."""
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    if isinstance(said, RetryableError):
        return said
    return RetryableError("asked to stop; run again, it goes on from its newest checkpoint if there is one")


@contextmanager
def member_of_a_group() -> Iterator[None]:
    """Tell the process that started this one what is raised, and end with it if it is killed."""
    exit_with_parent(int(os.environ.get(PARENT_VARIABLE) or os.getppid()))
    try:
        yield
    except Exception as error:
        again = isinstance(error, RetryableError)
        plain = isinstance(error, ValueError | OSError)
        message = str(error) if again or plain else f"{type(error).__name__}: {str(error).splitlines()[0]}"
        # A process that fails because another one has gone has less to say than that one.
        words = {"weight": 1 if plain else 2 if again else _UNKNOWING, "again": again, "message": message}
        if ERRORS_VARIABLE in os.environ:
            path = Path(os.environ[ERRORS_VARIABLE]) / f"{int(os.environ['RANK']):06d}.json"
            path.write_text(json.dumps(words))
        raise


def told(errors: Path, otherwise: str, around: str = "") -> Exception:
    """What the processes said in the folder ``errors`` that they failed with, or a ValueError of other words.

    ``around`` comes first where none knows the reason: the process that did may have gone without a word.
    """
    words = [json.loads(path.read_text()) for path in sorted(errors.glob("*.json"))]
    if not words:
        return ValueError(otherwise)
    first = min(words, key=lambda item: item["weight"])
    message = first["message"]
    if first["again"]:
        return RetryableError(message)
    return ValueError(f"{around} ({message})" if around and first["weight"] == _UNKNOWING else message)


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Put back what this process does at signals: torch's agent leaves handlers that raise in whatever follows."""
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
