"""Training in several real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from components.common.artifacts.model_manifest import ModelManifest
from components.train.local.torchrun import PARENT_VARIABLE, describe_exit, run_group
from components.train.train import train_model
from recap_model import RecapConfig, load_model
from recap_model.data.dataset.reader import DatasetReader
from tests import fork_server
from tests.components.train.configs import config_of
from tests.datasets import TinySets, build_tiny
from tests.tiny import sparse_config, with_lists, write_tiny_log

DISTRIBUTION = {"kind": "single_node", "processes": 2}


def built(folder: Path, config: RecapConfig) -> TinySets:
    # Days of 203 rows leave a last batch that does not divide by the processes.
    return build_tiny(folder, config, write_tiny_log(folder / "log", rows=203))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    sets = built(folder, config_of())
    train_model(sets.snapshot, sets.train, folder / "model")
    return folder


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_take_the_steps_of_one(processes: int, alone: Path, tmp_path: Path):
    sets = built(tmp_path, config_of(distribution={"processes": processes}))
    manifest = fork_server.call(
        train_model, sets.snapshot, sets.train, tmp_path / "model", tmp_path / "curves.html"
    )
    expected = ModelManifest.read(alone / "model")
    assert (manifest.steps, manifest.rows) == (expected.steps, expected.rows)
    assert manifest.losses == pytest.approx(expected.losses, rel=1e-4)
    assert held_out_loss(tmp_path) == pytest.approx(held_out_loss(alone), rel=1e-4)
    one, several = (load_model(folder / "model").state_dict() for folder in (alone, tmp_path))
    for name, tensor in one.items():
        torch.testing.assert_close(several[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    assert (tmp_path / "curves.html").is_file()
    assert not list(tmp_path.glob("*model.checkpoints"))


@pytest.mark.parametrize("tables", ["row_wise", "table_wise"])
def test_a_model_whose_tables_processes_share_is_saved_whole(tables: str, tmp_path: Path):
    log = write_tiny_log(tmp_path / "log", rows=203)
    for file in log.rglob("*.parquet"):
        pq.write_table(with_lists(pq.read_table(file)), file)
    optimizer = {"single_task_learning_rate": {"constant": 0.01}, "adam": {"epsilon": 1e-3}}
    training = {"batch_size": 48, "epochs": 1}
    distribution = {"distribution": {**DISTRIBUTION, "tables": tables}}
    weights = []
    for name, settings in (("one", training), ("two", training | distribution)):
        folder = tmp_path / name
        config = sparse_config(optimizer=optimizer, training=settings)
        sets = build_tiny(folder, config, log)
        fork_server.call(train_model, sets.snapshot, sets.train, folder / "model")
        weights.append(load_model(folder / "model").state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def held_out_loss(folder: Path) -> float:
    """Of the last line of the training log."""
    lines = (folder / "model" / "training.jsonl").read_text().splitlines()
    return float(json.loads(lines[-1])["held_out_loss"])


def test_a_group_leaves_the_signals_of_the_process_that_started_it_as_they_were(tmp_path: Path):
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(ValueError, match=r"nowhere/snapshot"):
        run_group(1, [str(tmp_path / "nowhere" / name) for name in ("snapshot", "train", "model")])
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_fault_of_a_process_is_told_in_one_line(tmp_path: Path):
    sets = built(tmp_path, config_of(distribution=DISTRIBUTION))
    (sets.train / "_statistics.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"_statistics.json: not what prepare writes: .*; run prepare again"
    ) as caught:
        fork_server.call(train_model, sets.snapshot, sets.train, tmp_path / "model")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "model").exists()


def test_two_processes_stop_on_sigterm_and_go_on_where_they_were(tmp_path: Path):
    config = config_of(distribution=DISTRIBUTION, epochs=8, checkpoint={"every_steps": 3}, max_steps=60)
    sets = built(tmp_path, config)
    program = "import sys; from components.train.train import train_model as t; from components.common.runtime.step "
    program += "import step\nwith step('train'): t(*sys.argv[1:])"
    command = [sys.executable, "-c", program, str(sets.snapshot), str(sets.train), str(tmp_path / "model")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while not list(tmp_path.glob("model.checkpoints/*/*.checkpoint")):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
        said = process.communicate()[0].splitlines()
    assert process.returncode == 75
    assert said[-1].startswith("recap-error: train: asked to stop after step ")
    manifest = fork_server.call(train_model, sets.snapshot, sets.train, tmp_path / "model")
    assert manifest.steps == 60


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [(signal.SIGTERM, 75, "asked to stop; run again to resume "), (signal.SIGINT, 130, "interrupted")],
)
def test_two_processes_that_are_stopped_while_they_start_are_not_said_to_have_failed(
    number: signal.Signals, status: int, words: str, tmp_path: Path
):
    program = (
        "import sys\nfrom components.train.local.torchrun import run_group\n"
        "from components.common.runtime.step import step\n"
        "with step('train'): run_group(2, sys.argv[1:])"
    )
    command = [
        sys.executable,
        "-c",
        program,
        *(str(tmp_path / name) for name in ("snapshot", "train", "model")),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while len(children.read_text().split()) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, number)
        said = process.communicate()[0].splitlines()
    assert (process.returncode, said[-1][: len("recap-error: train: " + words)]) == (
        status,
        "recap-error: train: " + words,
    )


MEMBER = f"""
import os, sys, time
from components.train.local.torchrun import report_failure
while os.getppid() == int(os.environ["{PARENT_VARIABLE}"]):
    time.sleep(0.01)  # as long as torch takes to be imported, say
with report_failure():
    time.sleep(600)
"""
STARTER = f"""
import os, subprocess, sys
os.environ["{PARENT_VARIABLE}"] = str(os.getpid())
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
os.kill(os.getpid(), 9)
"""


def test_a_process_whose_starter_was_killed_before_it_could_look_ends():
    # What both write to is closed only when both have ended.
    done = subprocess.run(
        [sys.executable, "-c", STARTER, MEMBER], stdout=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        (
            {0: 1, 1: -9},
            "training process 1 was ended by SIGKILL: out of memory, or killed by another process",
        ),
        ({0: -15, 1: 3}, "training process 1 ended with exit status 3"),
    ],
)
def test_a_process_that_ended_without_a_word_is_named(statuses: dict[int, int], said: str):
    failures = {rank: ProcessFailure(rank, 0, status, "") for rank, status in statuses.items()}
    assert describe_exit(failures)[0].startswith(said)


def test_shares_of_every_batch_are_disjoint_and_make_up_the_batch(alone: Path):
    config = config_of()
    folder, tasks = alone / "train", list(config.tasks)
    whole = DatasetReader(folder, tasks, 50, config=config, seed=1)
    parts = [DatasetReader(folder, tasks, 50, config=config, seed=1, shard=(rank, 3)) for rank in range(3)]
    for batch, *shares in zip(whole.batches(2), *(part.batches(2) for part in parts), strict=True):
        joined = torch.cat([share.user_embedding for share in shares])
        assert {tuple(row) for row in joined.tolist()} == {
            tuple(row) for row in batch.user_embedding.tolist()
        }
        assert len(joined) == len(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
