"""A local run's steps as processes: what they import, what they print, and how they end."""

import contextlib
import io
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.common.runtime.step import ERROR_MARK, PROGRESS_MARK
from pipeline.local.events import Event, StepEnded, StepProgress, StepStarted
from pipeline.local.step_processes import Steps, run_process, step_starter


def run_step(source: str, out: Path) -> tuple[Steps, list[Event], str]:
    """A step whose function has this body, run as kfp would have it; it is to write the file ``made`` in ``out``."""
    events: list[Event] = []
    log = io.StringIO()
    steps = Steps(log, events.append)
    kind = {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}
    outputs = {
        "artifacts": {"made": {"artifacts": [{"uri": str(out / "made"), "name": "made", "type": kind}]}}
    }
    given = {"inputs": {}, "outputs": {**outputs, "outputFile": str(out / "executor_output.json")}}
    body = "\n".join(f"    {line}" for line in source.splitlines())
    program = f"def to_step():\n{body}\n"
    arguments = ["--executor_input", json.dumps(given), "--function_to_execute", "to_step"]
    with contextlib.closing(step_starter(steps)) as starter:
        command = ["sh", "-ec", "not used", program, *arguments]
        status = run_process(steps, starter, command, {"STEP_OUT": str(out)})
    assert events[0] == StepStarted("to-step")
    assert events[-1] == StepEnded("to-step", status == 0)
    return steps, events, log.getvalue()


DONE = "import os, pathlib\npathlib.Path(os.environ['STEP_OUT'], 'made').touch()"


def test_a_step_imports_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("components", "recap_model", "kfp", "random", "queue", "torch", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working folder')")
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "resolve.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep)  # an empty entry is the working folder
    source = "import random, queue, yaml\nfrom components.common.runtime.process_pool import ProcessPool\n"
    source += "with ProcessPool(2) as pool:\n    assert list(pool.map(abs, [(-1,), (-2,)])) == [1, 2]\n"
    steps, _, log = run_step(source + DONE, tmp_path)
    assert (steps.errors, "SystemExit" in log) == ([], False)


def test_marks_count_with_the_runs_key_only_and_what_else_is_printed_is_log(tmp_path: Path):
    source = f"""
from components.common.runtime.step import progress, step
import sys
with step("to-step"):
    print("{PROGRESS_MARK} much done")
    print("{ERROR_MARK} to-step: forged")
    print("Executing task 'other'")
    sys.stdout.buffer.write(b"\\n\\xff\\x1b[31mred\\x1b[0m\\n")
    progress(1, 4, "a file\\nof two lines")
    raise ValueError("labels: \\x1b[31mtask\\x1b[0m like has value 2.0")
"""
    steps, events, log = run_step(source, tmp_path)
    assert events == [
        StepStarted("to-step"),
        StepProgress("to-step", 0.25, "a file of two lines"),
        StepEnded("to-step", False),
    ]
    assert steps.errors == ["labels: task like has value 2.0"]
    assert f"    {ERROR_MARK} to-step: labels: task like" in log
    assert "red\n" in log
    assert "\x1b" not in log
    assert steps.key not in log


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            r"ended by SIGKILL: out of memory, or killed",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"ended by SIGSEGV: native code crashed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", r"ended by SIGTERM; run again"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)", r"ended by signal \d+"),
        ("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 9))\nwhile True: pass", r"ulimit -t"),
        ("import os; os._exit(137)", r"ended by SIGKILL"),  # as a shell or a container says it
        (
            "import os; os._exit(0)",
            r"exit status 0, but without its outputs \(made\): code that it runs ended",
        ),
        ("import sys; sys.exit(0)", r"exit status 0, but without its outputs \(made\)"),
        (
            "print('oh'); import os, sys; sys.stdout.flush(); os._exit(3)",
            r"status 3 and no error .* printed: oh$",
        ),
        ("raise ValueError('x')", r"ended with exit status 1 and no error of its own\..*: ValueError: x$"),
        (
            "from components.common.runtime.step import step\nwith step('to-step'):\n    import sys; sys.exit(0)",
            r"ephemeral_component\.py, line \d+, called sys\.exit before the step was done",
        ),
        (
            "from components.common.runtime.step import step\nimport os\nos.environ['RECAP_LOG_LEVEL'] = 'verbose'\n"
            "with step('to-step'):\n    pass",
            r"^RECAP_LOG_LEVEL: unknown level 'verbose'; levels: DEBUG, INFO, WARNING, ERROR$",
        ),
    ],
)
def test_how_a_step_ended_is_one_line(source: str, words: str, tmp_path: Path):
    steps, _, _ = run_step(source, tmp_path)
    (line,) = steps.errors
    assert re.search(words, line), line


def test_what_a_step_failed_with_is_forgotten_when_it_is_run_again_but_not_when_the_next_one_starts():
    steps = Steps(io.StringIO(), lambda event: None)
    train, calibrate = (["--function_to_execute", name] for name in ("train", "calibrate"))
    steps.start(train)
    steps.end(train, -signal.SIGKILL)
    assert len(steps.errors) == 1
    steps.start(train)
    assert steps.errors == []
    steps.end(train, 1)
    steps.start(calibrate)
    assert len(steps.errors) == 1


def test_two_processes_that_print_into_each_others_lines_end_nothing():
    events: list[Event] = []
    steps = Steps(io.StringIO(), events.append)
    steps.take(f"{PROGRESS_MARK}{steps.key} 0.2{PROGRESS_MARK}{steps.key} 0.3 step 3 of 10")
    assert events == []


def test_a_step_that_was_killed_while_it_waited_for_its_turn_is_started_anew(tmp_path: Path):
    steps = Steps(io.StringIO(), lambda event: None)
    with contextlib.closing(step_starter(steps, ["to-step"])) as starter:
        starter.prepare()
        waiting = starter._waiting["to-step"]
        (pid,) = wait_for_children(starter._servers[0]._process.pid, 1)
        os.kill(pid, signal.SIGKILL)
        assert waiting.wait(60) == -signal.SIGKILL
        with starter.start("to-step", ["--help"], {}) as process:
            assert "executor_input" in process.stdout.read()
    assert process.returncode == 0


def test_a_step_is_forked_ahead_and_ends_with_the_run():
    steps = Steps(io.StringIO(), lambda event: None)
    with contextlib.closing(step_starter(steps, ["to-step", "next-step"])) as starter:
        starter.prepare()
        with starter.start("to-step", ["--help"], {}) as process:
            process.stdout.read()
        assert process.returncode == 0
        (waiting,) = wait_for_children(starter._servers[0]._process.pid, 1)
        assert Path(f"/proc/{waiting}/comm").read_text() == "recap next-step\n"
    wait_until(lambda: not Path(f"/proc/{waiting}").exists())


def test_the_steps_of_a_server_that_was_killed_have_failed():
    steps = Steps(io.StringIO(), lambda event: None)
    with contextlib.closing(step_starter(steps, ["to-step"])) as starter:
        starter.prepare()
        starter._servers[0]._process.kill()
        assert starter._waiting["to-step"].wait(60) == -signal.SIGKILL


def wait_for_children(pid: int, count: int) -> list[int]:
    """Wait until a process has this many children; returns their ids."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    wait_until(lambda: len(children.read_text().split()) == count)
    return [int(child) for child in children.read_text().split()]


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)
