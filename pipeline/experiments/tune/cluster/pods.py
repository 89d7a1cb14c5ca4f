"""The steps of a study on a cluster, each in a pod of its own."""

import tempfile
from pathlib import Path

from components.common.artifacts.snapshot import Snapshot
from components.common.runtime.atomic_output import atomic_file
from pipeline.experiments.frozen_data import FrozenData
from pipeline.experiments.tune.space.changed_space import change_space
from pipeline.experiments.tune.space.default_space import default_space
from pipeline.experiments.tune.space.space import Space
from pipeline.experiments.tune.study.study import Study
from pipeline.experiments.tune.study.trial_runs import TrialRuns, study_key
from pipeline.experiments.tune.study.workers import PodWorker
from recap_model.data.dataset.manifest import DatasetManifest

_CLUSTER = "cluster"


def run_reference(data: FrozenData, space: str, out: str | Path) -> None:
    """Run trial 0, the current config, and leave its model in ``out``.

    Raises as `Study.run` does.
    """
    with tempfile.TemporaryDirectory() as scratch:
        study = Study(_space(data, space), data, _runs(data, space), Path(scratch), Path(out))
        study.run_reference(PodWorker(0, 1))


def run_trials(data: FrozenData, space: str, reference: str | Path, worker: PodWorker, trials: int) -> int:
    """Run a worker's own trials of a study of a given length; returns how many it has ended, in earlier pods too."""
    with tempfile.TemporaryDirectory() as scratch:
        study = Study(_space(data, space), data, _runs(data, space), Path(scratch), Path(reference))
        return study.run_in_pod(worker, trials)


def report_study(data: FrozenData, space: str, config: str, page: str | Path, tuned: str | Path) -> str:
    """Write a study's page, and the best trial's config, or the current one if none is better; returns the result.

    Args:
        config: the current config's file or URI, whose comments are kept.
    """
    # The image of trials has neither what reads a config's store nor what draws charts.
    from components.resolve.resolve import read_config_text
    from pipeline.experiments.tune.result.conclude import PAGE_NAME, conclude

    text = read_config_text(config).decode()
    runs = _runs(data, space)
    with tempfile.TemporaryDirectory() as scratch:
        result = conclude(
            _space(data, space), runs.read(), runs, text, config.rpartition("/")[2], Path(scratch)
        )
        for out, content in (
            (page, (Path(scratch) / PAGE_NAME).read_text()),
            (tuned, Path(result["config"]).read_text() if result["config"] else text),
        ):
            with atomic_file(out) as file:
                file.write_text(content)
    words: str = result["result"]
    return words


def _space(data: FrozenData, text: str) -> Space:
    _, config = Snapshot.read(data.snapshot)
    space = default_space(config, DatasetManifest.read(data.train).rows)
    return change_space(space, text.encode(), "space") if text.strip() else space


def _runs(data: FrozenData, space: str) -> TrialRuns:
    snapshot, config = Snapshot.read(data.snapshot)
    key = study_key(data.snapshot, space, _CLUSTER)
    name = f"{config.registry.model_name} {key}"
    return TrialRuns(snapshot.tracking_uri, f"{config.registry.experiment}-tune", key, name)
