"""Run the steps of a local run: start them, parse their output, and report how they ended."""

import codecs
import contextlib
import json
import re
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from components.common.runtime.process_pool import describe_signal
from components.common.runtime.step import ERROR_MARK, KEY_OF_RUN, PIPE_OF_RUN, PROGRESS_MARK
from components.steps import STEP_NAMES
from pipeline.local.events import Event, StepEnded, StepProgress, StepStarted
from pipeline.local.step_starter import StepStarter
from recap_model.config.fields.uris import mask_secrets

_SIGNAL_EXIT_BASE = (
    128  # plus the signal's number: exit status of a shell or container whose process was killed by a signal
)
_MAX_LINE_LENGTH = 1 << 16
_INTERRUPT_GRACE_S = 5.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Steps:
    """The steps of one run: writes their output to ``log`` and reports events to ``on_event``.

    Progress and errors are lines that begin with a mark and this run's ``key``, which steps receive in their
    environment. All other output, including that of user code, is only logged.
    """

    def __init__(self, log: TextIO, on_event: Callable[[Event], None]) -> None:
        self.key = secrets.token_hex(8)
        self.step = ""
        self.errors: list[str] = []
        self._log = log
        self._on_event = on_event
        self._last = ""

    def start(self, command: list[str]) -> str:
        """Record the start of a step, given kfp's command; returns its name."""
        step = _get_argument(command, "--function_to_execute", "step").replace("_", "-")
        if step == self.step:
            # A retry of the same step: discard the errors of the previous attempt.
            self.errors.clear()
        self.step, self._last = step, ""
        self._on_event(StepStarted(step))
        return step

    def take(self, line: str) -> None:
        """Process one line of the step's output."""
        line = printable(line).rstrip()
        progress, error = f"{PROGRESS_MARK}{self.key} ", f"{ERROR_MARK}{self.key} "
        if line.startswith(progress):
            fraction, _, what = line.removeprefix(progress).partition(" ")
            # Lines of two processes may be interleaved.
            with contextlib.suppress(ValueError):
                self._on_event(StepProgress(self.step, float(fraction), what))
            return
        if line.startswith(error):
            text = line.removeprefix(error)
            self.errors.append(text.partition(": ")[2])
            line = f"{ERROR_MARK} {text}"
        self._last = line.strip() or self._last
        self._log.write(f"    {line}\n")

    def end(self, command: list[str], status: int, killed: str | None = None) -> int:
        """Record the end of a step; returns 0 on success. ``killed`` describes how it was killed, if known."""
        if killed is None and (status < 0 or status > _SIGNAL_EXIT_BASE):
            killed = describe_signal(-status if status < 0 else status - _SIGNAL_EXIT_BASE)
        if killed is not None:
            self._fail(f"the step was {killed}")
        elif status and not self.errors:
            last = f" The last line it printed: {self._last}" if self._last else ""
            self._fail(f"ended with exit status {status} and no error of its own.{last}")
        elif not status and (missing := _missing_outputs(command)):
            status = 1
            self._fail(
                f"ended with exit status 0, but without its outputs ({', '.join(missing)}): code that it runs ended "
                "the process (os._exit); remove that call from your own code, such as validation.expectations_file"
            )
        self._on_event(StepEnded(self.step, status == 0))
        return status

    def _fail(self, reason: str) -> None:
        self.errors.append(reason)
        self._log.write(f"    {ERROR_MARK} {self.step}: {reason}\n")


def printable(text: str) -> str:
    """Remove terminal escape sequences and control characters, and mask secrets."""
    return mask_secrets(_CONTROL.sub("", text))


@contextlib.contextmanager
def patch_kfp_runners(steps: Steps, starter: StepStarter) -> Iterator[None]:
    """Patch kfp's local runners to start every step through this module and report how it ended.

    kfp 2.17 reports a failure without a reason. It starts a step's Python by a shell, from the working folder, whose
    modules would shadow ours. When a run is killed, kfp's process or container continues; here it ends with the run,
    which holds a pipe to it. kfp leaves the removal of containers to the engine: a container that is gone before kfp
    reads its exit status counts as successful, and an interrupted run leaves its container running.
    """
    from kfp.local import docker_task_handler, subprocess_task_handler

    in_process = subprocess_task_handler.run_local_subprocess
    in_container = docker_task_handler.run_docker_container

    def process(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        return run_process(steps, starter, full_command, env_vars or {})

    def container(client: Any, image: str, command: list[str], volumes: Any, **settings: Any) -> int:
        return run_container(steps, client, image, command, volumes, **settings)

    subprocess_task_handler.run_local_subprocess = process
    docker_task_handler.run_docker_container = container
    try:
        yield
    finally:
        subprocess_task_handler.run_local_subprocess = in_process
        docker_task_handler.run_docker_container = in_container


def step_starter(steps: Steps, names: Sequence[str] = STEP_NAMES) -> StepStarter:
    """The starter of these steps' processes, by their names in their order."""
    return StepStarter({PIPE_OF_RUN: "stdout", KEY_OF_RUN: steps.key}, names)


def run_process(steps: Steps, starter: StepStarter, command: list[str], variables: dict[str, str]) -> int:
    """Run a step's function in its own Python process; returns the exit status.

    Args:
        command: kfp's shell command: its script, the function's source, and the arguments of kfp's executor.
        variables: environment variables set by kfp.
    """
    step = steps.start(command)
    *_, source = command[:4]
    with tempfile.TemporaryDirectory(prefix="recap-step-") as folder:
        module = Path(folder) / "ephemeral_component.py"
        module.write_text(source, "utf-8")
        arguments = ["--component_module_path", str(module), *command[4:]]
        with starter.start(step, arguments, variables) as process:
            assert process.stdout is not None
            try:
                while line := process.stdout.readline(_MAX_LINE_LENGTH):
                    steps.take(line)
                status = process.wait()
            except KeyboardInterrupt:
                # A terminal interrupts the step too; closing its pipe would end it before it has cleaned up.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_INTERRUPT_GRACE_S)
                raise
    return steps.end(command, status)


def run_container(
    steps: Steps, client: Any, image: str, command: list[str], volumes: Any, **settings: Any
) -> int:
    """Run a step's container and remove it; returns the exit status."""
    from docker.errors import APIError, NotFound

    steps.start(command)
    environment = {**settings.pop("environment", {}), PIPE_OF_RUN: "stdin", KEY_OF_RUN: steps.key}
    container = client.containers.create(
        image, command, stdin_open=True, environment=environment, volumes=volumes, **settings
    )
    killed = None
    try:
        with contextlib.closing(container.attach_socket(params={"stdin": 1, "stream": 1})):
            container.start()
            with contextlib.closing(container.logs(stream=True, follow=True)) as printed:
                for line in _lines(printed):
                    steps.take(line)
        status = int(container.wait()["StatusCode"])
        container.reload()
        if container.attrs["State"]["OOMKilled"]:
            killed = "ended by the system: its container ran out of memory; give it more (pods of the cluster's file)"
    except NotFound:
        status, killed = 1, "ended: somebody removed its container; run again"
    finally:
        with contextlib.suppress(APIError):  # already removed, or being removed
            container.remove(force=True)
    return steps.end(command, status, killed)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from lines
        if len(rest) > _MAX_LINE_LENGTH:
            yield rest
            rest = ""
    if rest:
        yield rest


def _get_argument(command: list[str], name: str, default: str) -> str:
    return command[command.index(name) + 1] if name in command else default


def _missing_outputs(command: list[str]) -> list[str]:
    """Names of a step's outputs if kfp's executor did not finish, which would list them."""
    outputs = json.loads(_get_argument(command, "--executor_input", "{}")).get("outputs", {})
    if "outputFile" not in outputs or Path(outputs["outputFile"]).exists():
        return []
    return list(outputs.get("artifacts", {}))
