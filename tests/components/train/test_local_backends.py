"""A job from its start to its end on the kubeflow SDK's own local backends: processes, and containers.

Both take a function in place of an image and a command. It is written to a file of its own and run by torchrun, so
that all that it needs is inside it.
"""

import gc
import os
import shutil
import site
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from kubeflow.common.constants import UNKNOWN
from kubeflow.trainer import (
    ContainerBackendConfig,
    CustomTrainer,
    LocalProcessBackendConfig,
    TrainerClient,
)
from kubeflow.trainer.backends.container.types import TrainingRuntimeSource
from kubeflow.trainer.options import Name

from components.common.artifacts.model_manifest import ModelManifest
from components.train.kubernetes import wait
from components.train.kubernetes.wait import JobStatus, run_to_end
from components.train.train import train_model
from recap_model import load_model
from tests import fork_server
from tests.components.train.configs import config_of
from tests.datasets import TinySets, build_tiny
from tests.tiny import write_tiny_log

IMAGE = "recap-trainer:latest"
SOURCE = Path(__file__).parents[3]
CONFIG = config_of(distribution={"kind": "single_node", "processes": 2})

pytestmark = pytest.mark.slow


def work(parameters):
    """What each process runs."""
    from components.train.local.worker import main

    main(parameters["arguments"])


def work_in_container(arguments):
    """The same, for the backend that gives a function its arguments by name."""
    from components.train.local.worker import main

    main(arguments)


class LocalJob:
    """A job of one of the SDK's local backends, as `components.train.kubernetes.wait` takes it."""

    def __init__(self, name: str, client: TrainerClient, trainer: CustomTrainer) -> None:
        self.name = name
        self.client = client
        self.trainer = trainer
        self._told = False

    def poll(self) -> JobStatus:
        try:
            status = self.client.get_job(self.name).status
        except ValueError:
            return JobStatus("absent")
        ended = {"Complete": JobStatus("complete"), "Failed": JobStatus("failed", "a process failed")}
        return ended.get(status or UNKNOWN, JobStatus("active"))

    def create(self) -> None:
        self.client.train(runtime="torch-distributed", trainer=self.trainer, options=[Name(name=self.name)])

    def delete(self) -> None:
        self.client.delete_job(self.name)

    def log(self) -> Iterator[str]:
        if not self._told:
            yield from self.client.get_job_logs(self.name, follow=True)
            self._told = True

    def last_event(self) -> str:
        return ""


def run(job: LocalJob, take: Callable[[], object] = lambda: None) -> None:
    run_to_end(job, lambda: None, lambda: (take(), None)[1], deadline_s=200, stop=lambda: False)


def train_here(sets: TinySets, out: Path) -> ModelManifest:
    """By two processes of torchrun."""
    return fork_server.call(train_model, sets.snapshot, sets.train, out)


def same_weights(left: Path, right: Path) -> bool:
    ours, theirs = (load_model(folder).state_dict() for folder in (left, right))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with a package ``torch`` for the backend's new environment, that leads to the one installed here."""
    version = torch.__version__.split("+")[0]
    info = f"torch-{version}.dist-info"
    content = {
        "installed_here.pth": "\n".join([str(SOURCE), *site.getsitepackages()]),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: recap\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntorchrun = torch.distributed.run:main\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*content, f"{info}/RECORD"])
    folder = tmp_path / "packages"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in content.items():
            wheel.writestr(name, text)
    return folder


def test_processes_of_the_sdk_end_with_the_weights_of_our_own(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wait, "_POLL_S", 0.2)
    # While a job runs, the backend changes this process's folder.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    sets = build_tiny(tmp_path, CONFIG, write_tiny_log(tmp_path / "log", rows=203))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PET_NPROC_PER_NODE": "2",
        "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(packages),
    }
    trainer = CustomTrainer(
        func=work,
        func_args={"arguments": [str(sets.snapshot), str(sets.train), str(tmp_path / "model")]},
        packages_to_install=["torch"],
        env=environment,
    )
    job = LocalJob("recap-processes", TrainerClient(LocalProcessBackendConfig()), trainer)
    run(job)
    assert ModelManifest.read(tmp_path / "model").steps == train_here(sets, tmp_path / "here").steps
    assert same_weights(tmp_path / "model", tmp_path / "here")


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True)


@pytest.fixture
def image() -> str:
    """The trainer's, on a Docker engine that answers."""
    if shutil.which("docker") is None or docker("info").returncode:
        pytest.skip("no Docker engine answers here")
    if docker("image", "inspect", IMAGE).returncode:
        pytest.skip(f"the Docker engine has no image {IMAGE}; make images builds it")
    return IMAGE


# The SDK's Docker client leaves connections to the engine open.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_two_containers_of_the_sdk_end_with_the_weights_of_two_processes(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(wait, "_POLL_S", 0.2)
    monkeypatch.setenv("HOME", str(tmp_path))
    name = f"recap-{os.getpid()}"
    # What the backend mounts as the nodes' /workspace, and removes with the job.
    folder = tmp_path / ".kubeflow/trainer/containers" / name
    sets = build_tiny(folder, CONFIG, write_tiny_log(folder / "log", rows=203))
    for package in ("recap_model", "components"):
        shutil.copytree(SOURCE / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    # The nodes run in login shells, whose path is not the image's, as a user who is no one here.
    (folder / ".bash_profile").write_text("PATH=/opt/recap/bin:$PATH\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    trainer = CustomTrainer(
        func=work_in_container,
        func_args={"arguments": ["/workspace/snapshot", "/workspace/train", "/workspace/model"]},
        num_nodes=2,
        image=image,
        env={"HOME": "/workspace", "PYTHONPATH": "/workspace", "OMP_NUM_THREADS": "1"},
    )
    config = ContainerBackendConfig(
        pull_policy="Never", container_runtime="docker", runtime_source=TrainingRuntimeSource(sources=[])
    )
    here = train_here(sets, tmp_path / "here")
    job = LocalJob(name, TrainerClient(config), trainer)
    run(job, lambda: shutil.copytree(folder / "model", tmp_path / "model"))
    said = capsys.readouterr().out
    assert said.count("event=train device=cpu processes=2") == 2
    assert ModelManifest.read(tmp_path / "model").losses == here.losses
    assert same_weights(tmp_path / "model", tmp_path / "here")
    assert docker("ps", "--all", "--quiet", "--filter", f"name={name}").stdout == ""
    assert docker("network", "ls", "--quiet", "--filter", f"name={name}").stdout == ""
    del job
    gc.collect()
