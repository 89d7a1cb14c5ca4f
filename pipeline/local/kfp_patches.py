"""How a step of a local run ended, where the step itself could not say so: by a signal, or with its container."""

import codecs
import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from components.common.runtime.environment import environment
from components.common.runtime.step import ERROR_MARK, PIPE_OF_RUN

_SIGNALLED = 128  # and the signal's number is the exit status of a container whose process a signal ended
_KILLED = _SIGNALLED + signal.SIGKILL
_CAUSES = {
    signal.SIGKILL: "from outside, or as the machine ran out of memory",
    signal.SIGBUS: "a file was cut off while it was read, or its disk is full or broken",
}


@contextlib.contextmanager
def steps_to_their_end() -> Iterator[None]:
    """Have kfp's local runners say what signal ended a step, and see each step to its end.

    kfp 2.17 reports a failure without a reason. When a run is killed, its step's process or container goes on, beside
    the next run's; here it ends with the run, which holds a pipe of it. Of containers kfp leaves the removal to the
    engine: one that is gone before kfp asks for its exit status, as a killed one may be, passes for one that
    succeeded, and an interrupted run leaves its container running.
    """
    from kfp.local import docker_task_handler, subprocess_task_handler

    in_process = subprocess_task_handler.run_local_subprocess
    in_container = docker_task_handler.run_docker_container

    def run_process(*command: Any, **settings: Any) -> int:
        with environment({PIPE_OF_RUN: "stdout"}):
            status = in_process(*command, **settings)
        if status < 0:
            print(f"{ERROR_MARK} step: the step's process was {_ended(-status)}")  # noqa: T201
        return status

    subprocess_task_handler.run_local_subprocess = run_process
    docker_task_handler.run_docker_container = _run_container
    try:
        yield
    finally:
        subprocess_task_handler.run_local_subprocess = in_process
        docker_task_handler.run_docker_container = in_container


def _run_container(client: Any, image: str, command: list[str], volumes: Any, **settings: Any) -> int:
    """Run a container, print what it prints, and return its exit status. The signature is kfp's."""
    from docker.errors import APIError, NotFound

    environment = {**settings.pop("environment", {}), PIPE_OF_RUN: "stdin"}
    container = client.containers.create(
        image, command, stdin_open=True, environment=environment, volumes=volumes, **settings
    )
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        with contextlib.closing(container.attach_socket(params={"stdin": 1, "stream": 1})):
            container.start()
            with contextlib.closing(container.logs(stream=True, follow=True)) as printed:
                for chunk in printed:
                    print(decoder.decode(chunk), end="")  # noqa: T201 - kfp takes a step's log from standard output
        status = int(container.wait()["StatusCode"])
        container.reload()
        memory = container.attrs["State"]["OOMKilled"]
    except NotFound:
        status, memory = _KILLED, False
    finally:
        with contextlib.suppress(APIError):  # somebody else removes it, or has
            container.remove(force=True)
    if status > _SIGNALLED:
        why = "killed: it ran out of memory" if memory else _ended(status - _SIGNALLED)
        print(f"{ERROR_MARK} {image}: the step's container was {why}")  # noqa: T201
    return status


def _ended(number: int) -> str:
    """What a signal did, and from where it may have come."""
    try:
        sent = signal.Signals(number)
    except ValueError:
        return f"ended by signal {number}"
    cause = _CAUSES.get(sent)
    return f"ended by {sent.name}" + (f": {cause}" if cause else "") + "; run again"
