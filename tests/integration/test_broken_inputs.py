"""A run on a broken log ends before training: exit status 1, and a line that names what is broken."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.conftest import Recap
from tests.tiny import write_tiny_log

DAY = "date=2026-03-03"
FILE = f"{DAY}/part-00000.parquet"


def _label_of_two(log: Path) -> None:
    table = pq.read_table(log / FILE)
    labels = pa.array([2.0] + [0.0] * (len(table) - 1))
    pq.write_table(table.set_column(table.column_names.index("like"), "like", labels), log / FILE)


# One or two for each part of the pipeline that sees them; all that validate refuses is in its own tests.
BROKEN = {
    "a partition is missing": (lambda log: shutil.rmtree(log / DAY), [DAY]),
    "a file is truncated": (lambda log: (log / FILE).write_bytes((log / FILE).read_bytes()[:-50]), [FILE]),
    "a file is no Parquet": (lambda log: (log / FILE).write_text("no"), [FILE]),
    "a label is 2": (_label_of_two, [FILE, "like", "2"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_log_is_one_line_and_leaves_no_version(
    case: str, recap: Recap, workplace: Path, tmp_path: Path
):
    break_log, words = BROKEN[case]
    log = write_tiny_log(tmp_path / "log", days=5, rows=100)
    break_log(log)
    done = recap("run", "--config", "config.yaml", "--data", str(log), "--workspace", "broken")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    first = done.stderr.splitlines()[0]
    assert all(word in first for word in words), first
    assert not list((workplace / "broken").glob("runs/*/steps/*/train"))
    assert not list((workplace / "broken").rglob("MLmodel"))


def test_a_wrong_config_is_said_field_by_field_before_anything_runs(recap: Recap, workplace: Path):
    text = (workplace / "config.yaml").read_text()
    (workplace / "wrong.yaml").write_text(
        text.replace("batch_size: 64", "batch_size: 0").replace("days: 5", "days: x")
    )
    for command in (("run", "--data", "log", "--config", "wrong.yaml"), ("config", "check", "wrong.yaml")):
        done = recap(*command)
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        assert [line.split(": ")[2] for line in lines] == ["training.batch_size", "data.days"]


def test_wrong_use_of_the_command_line_is_exit_status_2(recap: Recap):
    assert recap("run", "--no-such-option").returncode == 2
    assert recap("rum").returncode == 2


def test_an_interrupted_run_ends_at_once_and_leaves_no_half_written_output(recap: Recap, workplace: Path):
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "run", "--data", "log"]
    command += ["--config", "config.yaml", "--workspace", "interrupted"]
    process = subprocess.Popen(
        command,
        cwd=workplace,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell lets what it starts in the background ignore interrupts, and so would this run if tests run there.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    steps = workplace / "interrupted" / "runs"
    deadline = time.monotonic() + 120
    while not list(steps.glob("*/steps/*/prepare")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.endswith("recap: interrupted\n")
    assert not list(steps.rglob(".*partial*"))
    assert not list(steps.glob("*/steps/*/register"))
