"""What ended a step is said, by processes and containers that really end so."""

import contextlib
import gc
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

from components.common.runtime.step import ERROR_MARK
from pipeline.local.kfp_patches import _run_container, steps_to_their_end

IMAGE = "python:3.11-slim"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (signal.SIGKILL, "ended by SIGKILL: from outside, or as the machine ran out of memory; run again"),
        (signal.SIGBUS, "ended by SIGBUS: a file was cut off while it was read"),
        (signal.SIGSEGV, "ended by SIGSEGV; run again"),
        (signal.SIGRTMIN + 1, f"ended by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_the_signal_that_ended_a_process_is_named(sent: int, words: str, capsys: pytest.CaptureFixture[str]):
    from kfp.local import subprocess_task_handler

    with steps_to_their_end():
        status = subprocess_task_handler.run_local_subprocess(
            [sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(sent)})"]
        )
    assert status == -sent
    assert f"{ERROR_MARK} step: the step's process was {words}" in capsys.readouterr().out


def test_an_exit_status_of_a_steps_own_is_left_to_it(capsys: pytest.CaptureFixture[str]):
    from kfp.local import subprocess_task_handler

    with steps_to_their_end():
        assert subprocess_task_handler.run_local_subprocess([sys.executable, "-c", "exit(3)"]) == 3
    assert ERROR_MARK not in capsys.readouterr().out


STEP = """
import os, pathlib, sys, time
from components.common.runtime.step import step
with step("train"):
    pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()}\\n")
    time.sleep(60)
"""
RUN = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and so it would be here
from kfp.local import subprocess_task_handler
from pipeline.local.kfp_patches import steps_to_their_end
with steps_to_their_end():
    subprocess_task_handler.run_local_subprocess(
        ["sh", "-c", '"$0" -c "$1" "$2"; true', sys.executable, *sys.argv[1:]]
    )
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_steps_process_ends_when_the_run_alone_is_ended(sent: signal.Signals, tmp_path: Path):
    note = tmp_path / "step"
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, STEP, str(note)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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


def run_to_its_end(engine: Any, command: list[str]) -> int:
    return _run_container(engine, IMAGE, command, {}, labels=["recap.test"], network_mode="none")


def left_over() -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", "label=recap.test").split()


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


CONTAINER_STEP = """
import time
from components.common.runtime.step import step
with step("train"):
    time.sleep(60)
"""
CONTAINER_RUN = """
import sys, docker
from pipeline.local.kfp_patches import _run_container
image, source, step = sys.argv[1:]
_run_container(
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
def test_a_containers_exit_status_and_words_come_through(engine: Any, capsys: pytest.CaptureFixture[str]):
    assert run_to_its_end(engine, ["sh", "-c", "echo drafted é; exit 3"]) == 3
    assert capsys.readouterr().out == "drafted é\n"
    assert left_over() == []


@leaves_sockets
@pytest.mark.parametrize("how", [("kill",), ("rm", "--force")])
def test_a_container_that_is_killed_or_taken_away_has_failed(
    engine: Any, how: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    timer = threading.Timer(1.5, lambda: docker(*how, *left_over()))
    timer.start()
    assert run_to_its_end(engine, ["sleep", "60"]) == 137
    timer.join()
    assert (
        f"{ERROR_MARK} {IMAGE}: the step's container was ended by SIGKILL: from outside, or"
        in capsys.readouterr().out
    )
    assert left_over() == []
