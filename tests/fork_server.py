"""Python programs in processes forked from a server that has imported the large libraries once.

Importing torch, MLflow, Great Expectations and kfp takes most of the time of a short program, and a local run is nine
of them. `run_python` and `run_recap` stand for `subprocess.run` of this interpreter; the processes that such a
program starts itself are forked from it. Programs load the project's modules anew, from PYTHONPATH.
"""

import builtins
import contextlib
import importlib
import logging
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

_LIBRARIES = (
    "torch._dynamo",
    "torch.distributed.elastic.multiprocessing",
    "safetensors.torch",
    "pyarrow.dataset",
    "scipy.stats",
    "mlflow.pyfunc",
    "mlflow.store.db.utils",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "alembic.command",
    "great_expectations",
    "kfp.local",
    "kfp.dsl.executor_main",
    "rich.progress",
    "typer",
)
_PROJECT = ("tests", "pipeline", "components", "recap_model")
_RECAP = "from pipeline.cli import main; main()"
_DEFAULT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGALRM)

_MLFLOW_STORES = {
    "_tracking_service": "TrackingStoreRegistry",
    "_model_registry": "ModelRegistryStoreRegistry",
}
_kept: list[Any] = []  # databases of the process that this one was forked from

_exec = subprocess._fork_exec  # type: ignore[attr-defined]
_print = builtins.print
_context = multiprocessing.get_context("forkserver")
# The last one for `start` and `call`, whose processes take the project's modules as the server has loaded them.
_context.set_forkserver_preload([__name__, *_LIBRARIES, "tests.chaos.harness"])


def start(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process that calls a function of a module, with this process's environment."""
    process = _context.Process(target=_called, args=(work, arguments, dict(os.environ)))
    process.start()
    return process


def barrier(processes: int) -> Barrier:
    """A barrier for so many processes, to be given to `start` or `call` as an argument."""
    return _context.Barrier(processes)


def call(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module returns or raises, called in a process.

    Raises RuntimeError if the process ended without either.
    """
    ours, theirs = _context.Pipe(duplex=False)
    process = start(_answer, theirs, work, arguments)
    theirs.close()
    try:
        answer, raised = ours.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{work.__qualname__}: its process ended with {process.exitcode}") from None
    process.join()
    if raised is not None:
        raise raised
    return answer


def _called(work: Callable[..., None], arguments: tuple[Any, ...], environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    subprocess._fork_exec = _fork_or_exec  # type: ignore[attr-defined]
    work(*arguments)


def _answer(pipe: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    answer, raised = None, None
    try:
        answer = work(*arguments)
    except Exception as error:  # noqa: BLE001 - raised again where it was called
        traceback.print_exc()
        raised = error
    pipe.send((answer, raised))


def run_recap(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """``recap ARGUMENTS``, as `run_python` runs it."""
    return run_python("-c", _RECAP, *arguments, **options)


def run_python(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None, timeout_s: float = 300
) -> subprocess.CompletedProcess[str]:
    """What ``python ARGUMENTS`` printed, and its exit status.

    Args:
        arguments: options, then ``-c`` with a program or ``-m`` with a module, then its own arguments.
        environment: this process's by default.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``timeout_s``, and was killed.
    """
    with TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        process = start(
            _program, arguments, str(cwd), dict(environment or os.environ), str(stdout), str(stderr)
        )
        process.join(timeout_s)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(
                list(arguments), timeout_s, stdout.read_bytes(), stderr.read_bytes()
            )
        return subprocess.CompletedProcess(
            list(arguments), process.exitcode or 0, stdout.read_text(), stderr.read_text()
        )


def _program(
    arguments: Sequence[str], cwd: str, environment: dict[str, str], stdout: str, stderr: str
) -> NoReturn:
    files = [os.open(os.devnull, os.O_RDONLY)]
    files += [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for path in (stdout, stderr)]
    _become(arguments, cwd, environment, files)


def _fork_or_exec(
    arguments: Sequence[str | bytes],
    executables: Sequence[bytes],
    close: bool,
    kept: Sequence[int],
    cwd: str | None,
    environment: Sequence[bytes] | None,
    *files: Any,
) -> int:
    """As `subprocess` starts a process; this interpreter is not started anew, but forked."""
    words = [os.fsdecode(word) for word in arguments]
    streams = [files[number] for number in (0, 3, 5)]
    failure, new_session, preexec = files[7], files[9], files[-2]
    if words[0] != sys.executable or preexec is not None:
        return int(_exec(arguments, executables, close, kept, cwd, environment, *files))
    child = os.fork()
    if child == 0:
        if new_session:
            os.setsid()
        variables = dict(os.environ)
        if environment is not None:
            pairs = (os.fsdecode(pair).partition("=") for pair in environment)
            variables = {name: value for name, _, value in pairs}
        _close_all_but({*streams, *kept} - {failure})
        streams = [number if stream < 0 else stream for number, stream in enumerate(streams)]
        _become(words[1:], cwd or ".", variables, streams)
    return child


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _become(
    arguments: Sequence[str], cwd: str, environment: Mapping[str, str], streams: Sequence[int]
) -> NoReturn:
    """Go on as if this process had just been started as ``python ARGUMENTS``."""
    status = 1
    try:
        for number, stream in enumerate([os.dup(stream) for stream in streams]):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
            for number, mode, errors in ((0, "r", "strict"), (1, "w", "strict"), (2, "w", "backslashreplace"))
        )
        for number in _DEFAULT:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        _forget()
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        status = _run(list(arguments))
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _forget() -> None:
    """Forget the project's modules, handlers of logs, filters of warnings, and kfp's indenting print."""
    builtins.print = _print
    for name in list(sys.modules):
        if name.partition(".")[0] in _PROJECT and name != __name__:
            del sys.modules[name]
    _forget_databases()
    for handler in list(logging.root.handlers):
        logging.root.removeHandler(handler)
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    importlib.invalidate_caches()


def _forget_databases() -> None:
    """Let MLflow open its databases anew: the files of those that are open were closed when this process began."""
    for kind in ("tracking", "model_registry"):
        if module := sys.modules.get(f"mlflow.store.{kind}.sqlalchemy_store"):
            _kept.append(module.SqlAlchemyStore._engine_map)  # nothing of it may be closed again
            module.SqlAlchemyStore._engine_map = {}
    for name, kind in _MLFLOW_STORES.items():
        if module := sys.modules.get(f"mlflow.tracking.{name}.registry"):
            getattr(module, kind)._get_store_with_resolved_uri.cache_clear()


def _run(arguments: list[str]) -> int:
    path = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    safe_path = False
    while arguments[0].startswith("-") and arguments[0] not in ("-c", "-m"):
        option = arguments.pop(0)
        safe_path |= option == "-P"
        if option in ("-W", "-X"):
            arguments.pop(0)
    kind = arguments.pop(0) if arguments[0] in ("-c", "-m") else ""
    program = arguments[0]
    sys.path[:0] = path if safe_path else [os.getcwd(), *path]
    sys.argv = ["-c" if kind == "-c" else program, *arguments[1:]]
    try:
        if kind == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        elif kind == "-c":
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_path(program, run_name="__main__")
        # Ends the threads of executors, which would be waited for without end, and waits for the others.
        threading._shutdown()  # type: ignore[attr-defined]
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)  # noqa: T201
        return 1
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        return 1
    return 0
