"""The pipelines: their names on a server, their steps, and their graphs, which import kfp only when built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.steps import STEPS, WATCH_STEPS, Step
from pipeline import NAME, TUNE_NAME, WATCH_NAME


@dataclass(frozen=True)
class Pipeline:
    """A pipeline.

    Attributes:
        name: on a Kubeflow Pipelines server, and of a run's folder on this machine.
        file: of its compiled form.
        build: the graph on this machine, up to the step of that name.
        build_for_cluster: the graph for a server, given a function that sets a task's resources.
    """

    name: str
    file: str
    steps: tuple[Step, ...]
    build: Callable[[str], Any]
    build_for_cluster: Callable[[Callable[[Any, Step], None]], Any]

    def names(self, until: str = "") -> list[str]:
        """The names of the steps up to one, or of all."""
        names = [step.name for step in self.steps]
        return names[: names.index(until) + 1] if until else names


def _retrain(until: str) -> Any:
    from pipeline.retrain import local_pipeline

    return local_pipeline(until)


def _retrain_on_cluster(configure: Callable[[Any, Step], None]) -> Any:
    from pipeline.retrain import cluster_pipeline

    return cluster_pipeline(configure)


def _watch(until: str) -> Any:
    from pipeline.watch import local_pipeline

    return local_pipeline(until)


def _watch_on_cluster(configure: Callable[[Any, Step], None]) -> Any:
    from pipeline.watch import cluster_pipeline

    return cluster_pipeline(configure)


def _tune(until: str) -> Any:
    """On this machine with kfp's runners; ``recap tune`` needs none. It always runs to its end."""
    from pipeline.tune import tune_pipeline

    return tune_pipeline(lambda task, step: None)


def _tune_on_cluster(configure: Callable[[Any, Step], None]) -> Any:
    from pipeline.tune import tune_pipeline

    return tune_pipeline(configure)


RETRAIN = Pipeline(NAME, "retrain.yaml", STEPS, _retrain, _retrain_on_cluster)
WATCH = Pipeline(WATCH_NAME, "watch.yaml", WATCH_STEPS, _watch, _watch_on_cluster)
TUNE = Pipeline(TUNE_NAME, "tune.yaml", (), _tune, _tune_on_cluster)
PIPELINES = {"retrain": RETRAIN, "watch": WATCH}
"""Those that are released and scheduled; a study is started by a person, from its compiled form."""
