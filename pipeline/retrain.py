"""The pipeline as a graph: from engagement logs to a promoted model."""

from collections.abc import Iterator
from typing import Any

from kfp import dsl

from components.calibrate.component import calibrate
from components.evaluate.component import evaluate
from components.prepare.component import prepare
from components.promote.component import promote
from components.register.component import register
from components.resolve.component import resolve
from components.steps import STEPS
from components.train.component import train
from components.validate.component import validate
from pipeline import NAME
from pipeline.wiring import Configure, add_steps, configure_local_task, exit_handler

TITLE = "Recap: retrain the ranking model"


def _tasks(
    data_root: Any, config: Any, end_date: Any, days: Any, tracking_uri: Any, scheduled: str = ""
) -> Iterator[Any]:
    """Add the steps' tasks one by one, in the order of `STEPS`."""
    resolved = resolve(
        config=config,
        data_root=data_root,
        end_date=end_date,
        days=days,
        tracking_uri=tracking_uri,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        scheduled=scheduled,
        purpose="retrain",
    )
    yield resolved
    snapshot = resolved.outputs["snapshot"]
    validated = validate(snapshot=snapshot)
    yield validated
    prepared = prepare(snapshot=snapshot, validated=validated.outputs["validated"])
    yield prepared
    trained = train(snapshot=snapshot, train_set=prepared.outputs["train_set"])
    yield trained
    calibrated = calibrate(
        snapshot=snapshot,
        model=trained.outputs["model"],
        calibration_set=prepared.outputs["calibration_set"],
    )
    yield calibrated
    model = calibrated.outputs["calibrated_model"]
    evaluated = evaluate(
        snapshot=snapshot,
        model=model,
        test_set=prepared.outputs["test_set"],
        validated=validated.outputs["validated"],
    )
    yield evaluated
    evaluation = evaluated.outputs["evaluation"]
    registered = register(
        snapshot=snapshot,
        model=model,
        evaluation=evaluation,
        validated=validated.outputs["validated"],
        test_set=prepared.outputs["test_set"],
        data_docs=validated.outputs["data_docs"],
        curves=trained.outputs["curves"],
        reliability=calibrated.outputs["reliability"],
    )
    yield registered
    yield promote(version=registered.outputs["version"], evaluation=evaluation)


def local_pipeline(until: str = STEPS[-1].name) -> Any:
    """The pipeline on this machine, up to and including the step ``until``."""

    @dsl.pipeline(name=NAME, display_name=TITLE)
    def retrain(
        data_root: str,
        config: str = "pipeline/configs/sample.yaml",
        end_date: str = "",
        days: int = 0,
        tracking_uri: str = "sqlite:///mlflow.db",
    ) -> None:
        """Retrain the multi-task ranking model on the newest logs on this machine; promote it if it passes the gate.

        Args:
            data_root: Folder or URI of the log, with a partition date=YYYY-MM-DD for each day, or a table.
            config: YAML file that describes features, tasks, model and gate.
            end_date: Last day of the data window, YYYY-MM-DD; the log's newest day if empty.
            days: Days in the window; data.days of the config if 0.
            tracking_uri: MLflow tracking server or store that holds the registered model.
        """
        tasks = _tasks(data_root, config, end_date, days, tracking_uri)
        add_steps(tasks, STEPS, configure_local_task, until)

    return retrain


def cluster_pipeline(configure: Configure) -> Any:
    """The pipeline for a Kubeflow Pipelines server, with an exit handler that reports how the run ended.

    Args:
        configure: sets a task's image, resources, volumes and secrets.
    """

    @dsl.pipeline(name=NAME, display_name=TITLE)
    def retrain_on_cluster(
        data_root: str,
        tracking_uri: str,
        config: str = "pipeline/configs/heavy_ranker.yaml",
        end_date: str = "",
        days: int = 0,
    ) -> None:
        """Retrain the multi-task ranking model on the newest engagement logs, and promote it if it passes the gate.

        Args:
            data_root: URI of the log, with a partition date=YYYY-MM-DD for each day, as s3://logs/impressions; or a
                table, as iceberg://prod/feed.impressions.
            tracking_uri: MLflow server that holds the registered model, as the pods reach it: http://, https://.
            config: YAML file on features, tasks, model, gate: a URI, as s3://logs/mine.yaml, or a path in the images.
            end_date: Last day of the window, YYYY-MM-DD; if empty, the last whole day (UTC) before the run's time.
            days: Days in the window; if 0, what the config says (data.days, data.hours).
        """
        with exit_handler("retrain", configure):
            scheduled = dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER
            tasks = _tasks(data_root, config, end_date, days, tracking_uri, scheduled)
            add_steps(tasks, STEPS, configure)

    return retrain_on_cluster
