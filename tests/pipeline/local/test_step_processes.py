"""A step ends with its run, in a process and in a container, and how a container ended is said."""

import contextlib
import gc
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.step_processes import Steps, run_container

IMAGE = "python:3.11-slim"


STEP = """
def to_step():
    import os, pathlib, time
    from components.common.runtime.step import step
    with step("train"):
        pathlib.Path(os.environ["STEP_NOTE"]).write_text(f"{os.getpid()}\\n")
        time.sleep(60)
"""
RUN = """
import signal, sys
# Under nohup, or in a shell's background, these are ignored, and so they would be here.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipeline.local.step_processes import Steps, run_process, step_starter
steps = Steps(sys.stdout, lambda event: None)
run_process(steps, step_starter(steps), ["sh", "-ec", "", sys.argv[1], *sys.argv[2:]], {})
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_steps_process_ends_when_the_run_alone_is_ended(sent: signal.Signals, tmp_path: Path):
    note = tmp_path / "step"
    given = json.dumps({"inputs": {}, "outputs": {"outputFile": str(tmp_path / "executor_output.json")}})
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, STEP, "--function_to_execute", "to_step", "--executor_input", given],
        env={**os.environ, "STEP_NOTE": str(note)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert happens_within(60, lambda: note.exists() and note.read_text().endswith("\n"))
    run.send_signal(sent)
    run.wait(60)
    step = int(note.read_text())
    assert happens_within(20, lambda: not Path(f"/proc/{step}").exists())


def happens_within(seconds: float, asked: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not asked():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def engine() -> Iterator[Any]:
    """A client of the Docker engine, where one answers that has the image."""
    import docker

    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"no Docker engine that has {IMAGE} answers here")
    with contextlib.closing(docker.from_env(version="1.41", timeout=30)) as client:
        yield client
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# docker 7.2 leaves the socket of a container's log to the garbage collector.
leaves_sockets = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def run_to_its_end(engine: Any, command: list[str]) -> tuple[int, Steps, str]:
    log = io.StringIO()
    steps = Steps(log, lambda event: None)
    status = run_container(steps, engine, IMAGE, command, {}, labels=["recap.test"], network_mode="none")
    return status, steps, log.getvalue()


def left_over() -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", "label=recap.test").split()


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


# As `step` does; the image has none of the packages that it imports.
CONTAINER_STEP = """
import os, time
from components.common.runtime.process_pool import exit_with_run
exit_with_run(os.environ["RECAP_PIPE_OF_RUN"])
print("event=start", flush=True)
time.sleep(60)
"""
CONTAINER_RUN = """
import sys, docker
from pipeline.local.step_processes import Steps, run_container
image, source, step = sys.argv[1:]
log = open(sys.stdout.fileno(), "w", buffering=1, closefd=False)
run_container(
    Steps(log, lambda event: None),
    docker.from_env(version="1.41"), image, ["python", "-c", step], {source: {"bind": "/source", "mode": "ro"}},
    labels=["recap.test"], network_mode="none", init=True, environment={"PYTHONPATH": "/source"},
)
"""


def test_a_steps_container_ends_when_the_run_is_killed(engine: Any):
    source = str(Path(__file__).parents[3])
    run = subprocess.Popen(
        [sys.executable, "-c", CONTAINER_RUN, IMAGE, source, CONTAINER_STEP], stdout=subprocess.PIPE
    )
    try:
        assert run.stdout is not None
        assert b"event=start" in run.stdout.readline()
        run.kill()
        assert happens_within(20, lambda: not docker("ps", "--quiet", "--filter", "label=recap.test"))
    finally:
        run.kill()
        run.communicate()
        docker("rm", "--force", *left_over())
    assert left_over() == []


@leaves_sockets
def test_a_containers_exit_status_and_words_come_through(engine: Any):
    status, steps, log = run_to_its_end(engine, ["sh", "-c", "echo drafted é; exit 3"])
    assert status == 3
    assert "    drafted é\n" in log
    assert steps.errors[0].endswith(
        "exit status 3 and no error of its own. The last line it printed: drafted é"
    )
    assert left_over() == []


@leaves_sockets
@pytest.mark.parametrize(
    ("how", "words"),
    [(("kill",), "ended by SIGKILL"), (("rm", "--force"), "somebody removed its container|SIGKILL")],
)
def test_a_container_that_is_killed_or_taken_away_has_failed(engine: Any, how: tuple[str, ...], words: str):
    timer = threading.Timer(1.5, lambda: docker(*how, *left_over()))
    timer.start()
    status, steps, _ = run_to_its_end(engine, ["sleep", "60"])
    timer.join()
    assert status != 0
    assert re.search(words, steps.errors[0])
    assert left_over() == []


@leaves_sockets
def test_a_container_whose_step_a_signal_ended_says_so(engine: Any):
    status, steps, _ = run_to_its_end(engine, ["sh", "-c", "sh -c 'kill -SEGV $$'"])
    assert status == 128 + signal.SIGSEGV
    assert "ended by SIGSEGV: native code crashed" in steps.errors[0]
