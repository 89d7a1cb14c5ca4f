"""The MLflow run of a pipeline run: lineage, parameters, metrics, training's curves, and the reports."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from components.common import registry
from components.common.artifacts.decision import Rule
from components.common.artifacts.evaluation import REPORT_NAME, Evaluation
from components.common.artifacts.model_manifest import TRAINING_LOG_NAME
from components.common.registry.experiments import experiment_id
from components.common.registry.run_metrics import Number, log_metrics, training_metrics
from components.register.figures import FOLDER, describe_run, read_figures
from components.register.run_outputs import RunOutputs
from components.register.step_metrics import step_records
from recap_model.data.dataset.manifest import DatasetManifest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

_STEP_TAG = "recap.step"
_RUN_NOTE = "mlflow.note.content"  # the description on a run's page
_PARAMETERS_AT_ONCE = 100  # that a tracking server takes
_LONGEST_DIGEST = 36  # characters of a data set's digest that MLflow's databases take


def start_run(client: "MlflowClient", run: RunOutputs) -> tuple[str, str]:
    """Find or create the MLflow run of this pipeline run and log everything about it.

    Each step is a nested run.

    Returns:
        The run's id, and its description, which is the version's too.
    """
    experiment = experiment_id(client, run.config.registry.experiment, run.snapshot.tracking_uri)
    wanted = f"tags.`{registry.PIPELINE_RUN_TAG}` = '{run.snapshot.run_id}'"
    runs = client.search_runs([experiment], wanted, max_results=1)
    info = (
        runs[0].info
        if runs
        else client.create_run(experiment, run_name=f"{run.name} {run.window}", tags=run.tags()).info
    )
    _log_parameters(client, info.run_id, _parameters(run))
    log_metrics(client, info.run_id, [*evaluation_metrics(run), *_curves(run.model)])
    client.log_inputs(info.run_id, list(_datasets(run)))
    description = _log_reports(client, experiment, info.run_id, run)
    client.set_tag(info.run_id, _RUN_NOTE, description)
    _nest_steps(client, experiment, info.run_id, run)
    return info.run_id, description


def _datasets(run: RunOutputs) -> Iterator["DatasetInput"]:
    """The run's data sets as MLflow datasets, whose source is the log."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    test = DatasetManifest.read(run.test_set)
    sets = {
        "training": (run.manifest.train_set, {"rows": run.manifest.rows}),
        "calibration": (run.manifest.calibration_set, {}),
        "test": (test.fingerprint, {"rows": test.rows}),
    }
    root = run.snapshot.data_root
    for context, (fingerprint, counted) in sets.items():
        if fingerprint is None:
            continue
        dataset = Dataset(
            name=f"{run.name} {context}",
            digest=fingerprint[:_LONGEST_DIGEST],
            source_type=root.partition("://")[0] if "://" in root else "local",
            source=json.dumps({"uri": root}),
            profile=json.dumps({"window": run.window, **counted, "fingerprint": fingerprint}),
        )
        yield DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _nest_steps(client: "MlflowClient", experiment: str, parent: str, run: RunOutputs) -> None:
    """Find or create a finished nested run for each step."""
    wanted = f"tags.`mlflow.parentRunId` = '{parent}'"
    runs = {child.data.tags.get(_STEP_TAG): child.info for child in client.search_runs([experiment], wanted)}
    for step in step_records(run):
        tags = {"mlflow.parentRunId": parent, _STEP_TAG: step.name}
        info = runs.get(step.name) or client.create_run(experiment, run_name=step.name, tags=tags).info
        _log_parameters(client, info.run_id, step.parameters)
        log_metrics(client, info.run_id, [(name, number, 0) for name, number in step.metrics.items()])
        client.set_terminated(info.run_id)


def _log_reports(client: "MlflowClient", experiment: str, run_id: str, run: RunOutputs) -> str:
    """Log the pages with the ending .html, by which browsers and MLflow's UI open them, and their figures.

    Returns:
        A description that shows them.
    """
    pages = {"evaluation": run.evaluation / REPORT_NAME, **run.reports}
    figures = read_figures(pages)
    with tempfile.TemporaryDirectory(prefix="recap-reports-") as temporary:
        reports, drawn = Path(temporary) / "reports", Path(temporary) / FOLDER
        reports.mkdir()
        for name, path in pages.items():
            shutil.copyfile(path, reports / f"{name}.html")
        for figure in (figure for page in figures.values() for figure in page):
            drawn.mkdir(exist_ok=True)
            (drawn / figure.file).write_text(figure.svg, encoding="utf-8")
        client.log_artifacts(run_id, str(temporary))
    return describe_run(run, experiment, run_id, figures)


def _parameters(run: RunOutputs) -> dict[str, object]:
    return {
        "window": run.window,
        "log_rows": run.snapshot.rows,
        "trained_rows": run.manifest.rows,
        "steps": run.manifest.steps,
        "precision": run.manifest.precision,
        "tasks": len(run.config.tasks),
        "batch_size": run.config.training.batch_size,
        "epochs": run.config.training.epochs,
        "seed": run.config.training.seed,
    }


def evaluation_metrics(run: RunOutputs) -> Iterator[Number]:
    """The headline metrics of a run's evaluation, and their means over the tasks that the gate judged."""
    metrics = Evaluation.read(run.evaluation).headline()
    for name, number in {**metrics, **_means(metrics, run.decision.rules)}.items():
        yield name, number, 0


def _means(metrics: Mapping[str, float], rules: Sequence[Rule]) -> dict[str, float]:
    """``mean_auc`` and ``mean_rce`` over the tasks that the gate judged; with few positives an AUC is only noise.

    >>> skipped = Rule(name="task", task="report", status="skipped", words="1 test positive; not judged")
    >>> _means({"auc/like": 0.7, "auc/report": 1.0}, [skipped])
    {'mean_auc': 0.7}
    """
    not_judged = {rule.task for rule in rules if rule.name == "task"}
    judged: dict[str, list[float]] = {}
    for name, number in metrics.items():
        metric, _, task = name.partition("/")
        if metric in ("auc", "rce") and task not in not_judged:
            judged.setdefault(f"mean_{metric}", []).append(number)
    return {name: fmean(numbers) for name, numbers in judged.items()}


def _curves(model: Path) -> Iterator[Number]:
    """Training's loss, each task's loss, and learning rates, by step."""
    path = model / TRAINING_LOG_NAME
    for line in path.read_text().splitlines() if path.is_file() else ():
        yield from training_metrics(json.loads(line))


def _log_parameters(client: "MlflowClient", run_id: str, parameters: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    entries = [Param(name, str(value)) for name, value in parameters.items()]
    for start in range(0, len(entries), _PARAMETERS_AT_ONCE):
        client.log_batch(run_id, params=entries[start : start + _PARAMETERS_AT_ONCE])
