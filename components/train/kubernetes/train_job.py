"""Training as a job on several nodes of a cluster: the shared folder, the job, and its model as the step's output."""

import logging
import shutil
from pathlib import Path

from components.common.artifacts.model_manifest import ModelManifest
from components.common.artifacts.snapshot import Snapshot, config_digest
from components.common.runtime.atomic_output import atomic_directory, atomic_file
from components.common.runtime.train_job import TrainJobSettings, check_distribution, job_name
from components.train.checkpoints import CHECKPOINTS_VARIABLE
from components.train.interruption import stop_on_sigterm
from components.train.kubernetes.wait import JobFailedError, run_to_end
from components.train.local.torchrun import ERRORS_VARIABLE, SECRETS_VARIABLE, read_failure
from recap_model.config import RecapConfig
from recap_model.config.steps.training import TrainJobConfig
from recap_model.data.dataset.manifest import MANIFEST_NAME, DatasetManifest

_WORKER = "components.train.local.worker"

log = logging.getLogger(__name__)


class JobFolder:
    """A run's folder on the volume that the train step and all nodes of its job mount.

    ``<shared>/jobs/<name>/`` has copies of the snapshot and of the training set's manifest, which are small, and
    receives the model, its curves and the processes' failures. Checkpoints lie in ``<shared>/checkpoints``, for the
    next attempt.
    """

    def __init__(self, settings: TrainJobSettings, name: str) -> None:
        self.path = Path(settings.shared) / "jobs" / name
        self.snapshot = self.path / "snapshot"
        self.train_set = self.path / "train_set"
        self.model = self.path / "model"
        self.curves = self.path / "curves.html"
        self.errors = self.path / "errors"
        self.checkpoints = Path(settings.shared) / "checkpoints"

    @property
    def arguments(self) -> list[str]:
        """Of the worker."""
        return [str(path) for path in (self.snapshot, self.train_set, self.model, self.curves)]

    @property
    def environment(self) -> dict[str, str]:
        """Of the worker."""
        return {ERRORS_VARIABLE: str(self.errors), CHECKPOINTS_VARIABLE: str(self.checkpoints)}

    def fill(self, snapshot: Path, train_set: Path, dataset: DatasetManifest) -> None:
        """Copy the nodes' inputs into an empty folder."""
        self.remove()
        self.errors.mkdir(parents=True)
        self.checkpoints.mkdir(exist_ok=True)
        shutil.copytree(snapshot, self.snapshot)
        shutil.copytree(train_set, self.train_set)
        # The rows' root may be relative to the folder that was copied.
        (self.train_set / MANIFEST_NAME).write_text(dataset.model_dump_json(indent=1))

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def train_as_job(
    snapshot: Path,
    train_set: Path,
    out: Path,
    curves: Path | None,
    *,
    frozen: Snapshot,
    config: RecapConfig,
    dataset: DatasetManifest,
) -> None:
    """Train on the nodes of a TrainJob, and publish its model.

    The job is named after the run, so that a repeated step finds the job of an earlier attempt.

    Raises:
        FileNotFoundError: the shared folder does not exist, or the job wrote no model.
        RetryableError: SIGTERM was received, here or by the job.
        ValueError: the job failed, with its first process's message, or wrote another training's model.
        OSError: the cluster refuses, or the job did not end in time.
    """
    from components.train.kubernetes.job_client import SECRETS_FOLDER, JobRequest, KubernetesJob

    settings, size = check_distribution(config), config.training.distribution
    assert settings is not None
    assert isinstance(size, TrainJobConfig)
    _check_shared(settings, dataset)
    folder = JobFolder(settings, job_name(frozen.run_id))
    request = JobRequest(
        folder.path.name,
        size,
        settings,
        _WORKER,
        folder.arguments,
        folder.environment | {SECRETS_VARIABLE: SECRETS_FOLDER},
    )
    job = KubernetesJob(request)
    try:
        with stop_on_sigterm() as stop:
            run_to_end(
                job,
                lambda: folder.fill(snapshot, train_set, dataset),
                lambda: publish(folder, out, curves, frozen, config, dataset),
                deadline_s=60 * settings.deadline_minutes,
                stop=stop,
            )
    except JobFailedError as error:
        raise read_failure(folder.errors, str(error), prefix=str(error)) from None
    finally:
        folder.remove()


def publish(
    folder: JobFolder,
    out: Path,
    curves: Path | None,
    frozen: Snapshot,
    config: RecapConfig,
    dataset: DatasetManifest,
) -> None:
    """Copy a job's model to the step's output if it is complete and of this training.

    Raises FileNotFoundError or ValueError if it is not.
    """
    manifest = ModelManifest.read(folder.model)
    made = (manifest.snapshot, manifest.config_digest, manifest.train_set)
    if made != (frozen.digest, config_digest(config), dataset.fingerprint):
        raise ValueError(
            f"{folder.model}: is the model of another snapshot, config or training set; run the step again"
        )
    with atomic_directory(out) as copy:
        shutil.copytree(folder.model, copy, dirs_exist_ok=True)
    ModelManifest.read(out)
    if curves is not None:
        with atomic_file(curves) as file:
            shutil.copyfile(folder.curves, file)
    log.info("event=job_published steps=%d rows=%d", manifest.steps, manifest.rows)


def _check_shared(settings: TrainJobSettings, dataset: DatasetManifest) -> None:
    shared = Path(settings.shared)
    if not shared.is_dir():
        raise FileNotFoundError(
            f"{shared}: not there; the train step mounts the volume {settings.claim} "
            "(train_job in the cluster's file)"
        )
    rows = dataset.rows_root
    if "://" not in rows and shared.resolve() not in Path(rows).resolve().parents:
        raise ValueError(
            f"{rows}: this folder is not mounted by the job's nodes; a job reads rows from an object store or "
            f"from {shared}; run prepare with such a root"
        )
