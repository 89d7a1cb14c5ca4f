"""The training step with a job of two real nodes: torchrun on each, as Kubeflow Trainer starts it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from kubernetes.config import kube_config

from components.common.artifacts.model_manifest import ModelManifest
from components.common.runtime.step import RetryableError
from components.common.runtime.train_job import TrainJobSettings, check_distribution, job_name
from components.resolve.resolve import resolve_run
from components.train.kubernetes import wait
from components.train.train import train_model
from recap_model import RecapConfig, load_model
from tests import fork_server
from tests.components.train.configs import config_of
from tests.components.train.kubernetes_api import KubernetesApi, serving
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log

JOB = {"kind": "train_job", "nodes": 2}
RUN = "0c5c1f62-8ad1-4a51-9a0e-3b6a4d7e1f10"


def place(shared: Path, **fields: Any) -> TrainJobSettings:
    given = {
        "claim": "c",
        "cpu_image": "cpu",
        "gpu_image": "gpu",
        "cpu": "1",
        "memory": "1Gi",
        "scratch": "1Gi",
    }
    given |= {"shared_memory": "1Gi", "gpu_resource": "nvidia.com/gpu", "user": 10001}
    given |= {"runtime": "torch-distributed", "deadline_minutes": 2, "shared": str(shared)}
    return TrainJobSettings.model_validate(given | fields)


def built(folder: Path, config: RecapConfig) -> TinySets:
    return build_tiny(folder / "sets", config, write_tiny_log(folder / "log", rows=203), run_id=RUN)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    """A cluster that runs jobs, whose nodes see the test's folder."""
    monkeypatch.setattr(wait, "_POLL_S", 0.1)
    monkeypatch.setenv("RECAP_TRAIN_JOB", place(tmp_path).model_dump_json())
    # torchrun, beside the interpreter.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    with serving() as running:
        running.runs_jobs = tmp_path
        config = str(running.kubeconfig(tmp_path / "kubeconfig"))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", config)
        monkeypatch.setenv("KUBECONFIG", config)
        yield running


def later(condition: Any, act: Any) -> None:
    def wait() -> None:
        while not condition():
            time.sleep(0.02)
        act()

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.slow
def test_two_nodes_end_with_the_weights_of_two_processes_of_one(
    server: KubernetesApi, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    sets = built(tmp_path, config_of(distribution=JOB))
    manifest = train_model(sets.snapshot, sets.train, tmp_path / "model", tmp_path / "curves.html")
    said = capfd.readouterr().out
    assert "event=train device=cpu processes=2" in said
    assert f"recap-progress: 1.0000 step {manifest.steps}/{manifest.steps}, loss" in said
    assert server.created[0]["metadata"]["name"] == f"recap-{RUN}"
    assert server.jobs == {}
    assert "role" in (tmp_path / "curves.html").read_text()
    assert list((tmp_path / "jobs").iterdir()) == []
    assert not (tmp_path / "checkpoints").exists()
    assert ModelManifest.read(tmp_path / "model") == manifest
    monkeypatch.delenv("RECAP_TRAIN_JOB")
    here = build_tiny(
        tmp_path / "here", config_of(distribution={"kind": "single_node", "processes": 2}), tmp_path / "log"
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = fork_server.call(train_model, here.snapshot, here.train, tmp_path / "processes")
    assert (alone.steps, alone.rows, alone.losses) == (manifest.steps, manifest.rows, manifest.losses)
    ours, theirs = (load_model(tmp_path / name).state_dict() for name in ("model", "processes"))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_what_a_process_of_a_node_fails_with_is_told_in_its_words(server: KubernetesApi, tmp_path: Path):
    sets = built(tmp_path, config_of(distribution=JOB))
    (sets.train / "_statistics.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"_statistics.json: not what prepare writes: .*; run prepare again"
    ) as caught:
        train_model(sets.snapshot, sets.train, tmp_path / "model")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "model").exists()
    assert server.jobs == {}


@pytest.mark.slow
def test_a_step_that_is_killed_finds_its_job_and_one_that_is_stopped_goes_on_with_a_new_one(
    server: KubernetesApi, tmp_path: Path
):
    long = {"epochs": 100, "max_steps": 500, "checkpoint": {"every_steps": 3}, "early_stopping": None}
    sets, out = built(tmp_path, config_of(distribution=JOB, **long)), tmp_path / "model"
    child = os.fork()
    if child == 0:
        train_model(sets.snapshot, sets.train, out)
        os._exit(0)
    while not server.created:
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    later(
        lambda: list(tmp_path.glob("checkpoints/*/*.checkpoint")),
        lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    with pytest.raises(
        RetryableError, match=f"asked to stop, so training job recap-{RUN} is deleted; run the step"
    ):
        train_model(sets.snapshot, sets.train, out)
    assert len(server.created) == 1
    assert server.jobs == {}
    server.wait_for_nodes()
    assert train_model(sets.snapshot, sets.train, out).steps == 500
    assert len(server.created) == 2
    assert "event=resume step=" in "".join(path.read_text() for path in server.logs.values())


@pytest.mark.parametrize("found", ["nothing", "another", "torn"])
def test_a_complete_job_without_its_model_is_no_success(
    found: str, server: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = config_of(distribution=JOB)
    sets = built(tmp_path, config)
    left = tmp_path / "jobs" / job_name(RUN) / "model"
    if found != "nothing":
        monkeypatch.delenv("RECAP_TRAIN_JOB")
        other = tiny_config(training={"max_steps": 1})
        made = build_tiny(tmp_path / "other", other, tmp_path / "log")
        train_model(made.snapshot, made.train, left)
        monkeypatch.setenv("RECAP_TRAIN_JOB", place(tmp_path).model_dump_json())
    if found == "torn":
        (left / "weights.safetensors").write_bytes(b"")
    server.add(job_name(RUN))
    server.end(job_name(RUN), "Complete")
    message = {
        "nothing": "_manifest.json: not there; run train again",
        "another": "is the model of another snapshot, config or training set",
        "torn": "altered since the manifest was written",
    }
    with pytest.raises((FileNotFoundError, ValueError), match=message[found]):
        train_model(sets.snapshot, sets.train, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert server.jobs == {}


def test_a_node_that_is_lost_is_told_with_the_clusters_words(server: KubernetesApi, tmp_path: Path):
    long = {"epochs": 400, "max_steps": 3000, "checkpoint": {"every_steps": 3}, "early_stopping": None}
    sets = built(tmp_path, config_of(distribution=JOB, **long))
    server.events.append((job_name(RUN), "node gpu-7 is not ready"))
    later(
        lambda: list(tmp_path.glob("checkpoints/*/*.checkpoint")), lambda: server.kill_node(job_name(RUN), 1)
    )
    with pytest.raises(
        ValueError, match=r"^training job recap-.* failed: JobsFailed: .*; last event: .*gpu-7"
    ) as caught:
        train_model(sets.snapshot, sets.train, tmp_path / "model")
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.glob("checkpoints/*/*.checkpoint"))


def test_rows_that_other_nodes_do_not_see_are_refused(
    server: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sets = built(tmp_path, config_of(distribution=JOB))
    (tmp_path / "volume").mkdir()
    monkeypatch.setenv("RECAP_TRAIN_JOB", place(tmp_path / "volume").model_dump_json())
    with pytest.raises(
        ValueError, match=r"train.rows: this folder is not mounted by the job.s nodes; .* an object store or"
    ):
        train_model(sets.snapshot, sets.train, tmp_path / "model")
    monkeypatch.setenv("RECAP_TRAIN_JOB", place(tmp_path / "none").model_dump_json())
    with pytest.raises(
        FileNotFoundError, match=r"none: not there; the train step mounts the volume c \(train_job"
    ):
        train_model(sets.snapshot, sets.train, tmp_path / "model")
    assert server.created == []


def test_secrets_come_to_the_nodes_as_files(tmp_path: Path):
    folder = tmp_path / "secrets"
    (folder / "..data").mkdir(parents=True)
    (folder / "AWS_ACCESS_KEY_ID").write_text("key\n")
    (folder / "HOME").write_text("elsewhere")
    program = (
        "import os; from components.train.local.worker import _export_secrets as t; t(); "
        "print(os.environ['AWS_ACCESS_KEY_ID'], os.environ['HOME'])"
    )
    env = os.environ | {"RECAP_SECRETS": str(folder), "HOME": "/here"}
    said = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["key", "/here"]


def test_a_run_and_its_config_agree_on_whether_there_is_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = tmp_path / "config.yaml"
    config.write_text(config_of(distribution=JOB).to_yaml())
    with pytest.raises(
        ValueError, match=r"training.distribution.kind: train_job needs a cluster whose file has train_job"
    ):
        resolve_run(config, str(tmp_path), tmp_path / "snapshot", tracking_uri="", run_id="run-1")
    monkeypatch.setenv("RECAP_TRAIN_JOB", place(tmp_path).model_dump_json())
    assert check_distribution(config_of(distribution=JOB)) == place(tmp_path)
    with pytest.raises(
        ValueError, match=r"the train step only waits for a job; use train_job, with nodes and gpus"
    ):
        check_distribution(tiny_config())
    monkeypatch.setenv("RECAP_TRAIN_JOB", "{}")
    with pytest.raises(ValueError, match=r"RECAP_TRAIN_JOB: claim: is required; compile the pipeline again"):
        check_distribution(tiny_config())


def test_a_jobs_name_is_the_runs_and_always_a_label_of_dns():
    assert job_name(RUN) == f"recap-{RUN}"
    for run_id in ("Run 1", "r" * 80, "", "-", "run_1"):
        assert job_name(run_id) == job_name(run_id)
        assert len(job_name(run_id)) == 38
    assert job_name("a" * 80) != job_name("a" * 81)
