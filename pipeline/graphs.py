"""The pipelines: their names on a server, their steps, and their graphs, which import kfp only when built."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from components.steps import STEPS, WATCH_STEPS, Step
from pipeline import NAME, TUNE_NAME, WATCH_NAME


@dataclass(frozen=True)
class Pipeline:
    """A pipeline.

    Attributes:
        name: on a Kubeflow Pipelines server, and of a run's folder on this machine.
        file: of its compiled form.
        module: has the graph: ``local_pipeline``, but for a study, and ``cluster_pipeline``.
    """

    name: str
    file: str
    steps: tuple[Step, ...]
    module: str

    def build(self, until: str) -> Any:
        """The graph on this machine, up to the step of that name."""
        return import_module(self.module).local_pipeline(until)

    def build_for_cluster(self, configure: Callable[[Any, Step], None]) -> Any:
        """The graph for a server; ``configure`` sets a task's resources."""
        return import_module(self.module).cluster_pipeline(configure)

    def names(self, until: str = "") -> list[str]:
        """The names of the steps up to one, or of all."""
        names = [step.name for step in self.steps]
        return names[: names.index(until) + 1] if until else names


RETRAIN = Pipeline(NAME, "retrain.yaml", STEPS, "pipeline.retrain")
WATCH = Pipeline(WATCH_NAME, "watch.yaml", WATCH_STEPS, "pipeline.watch")
TUNE = Pipeline(TUNE_NAME, "tune.yaml", (), "pipeline.tune")
PIPELINES = {"retrain": RETRAIN, "watch": WATCH}
"""Those that are released and scheduled; a study is started by a person, from its compiled form."""
