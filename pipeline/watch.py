"""The pipeline that watches the champion, as a graph: from a day of the log to a recorded outcome."""

from collections.abc import Iterator
from typing import Any

from kfp import dsl

from components.prepare.component import prepare
from components.resolve.component import resolve
from components.steps import WATCH_STEPS
from components.validate.component import validate
from components.watch.component import watch
from pipeline import WATCH_NAME
from pipeline.wiring import Configure, add_steps, configure_local_task, exit_handler

TITLE = "Recap: watch the champion"


def _tasks(data_root: Any, config: Any, day: Any, tracking_uri: Any, scheduled: str = "") -> Iterator[Any]:
    """Add the steps' tasks one by one, in the order of `WATCH_STEPS`."""
    resolved = resolve(
        config=config,
        data_root=data_root,
        end_date=day,
        days=0,
        tracking_uri=tracking_uri,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        scheduled=scheduled,
        purpose="watch",
    )
    yield resolved
    snapshot = resolved.outputs["snapshot"]
    validated = validate(snapshot=snapshot)
    yield validated
    prepared = prepare(snapshot=snapshot, validated=validated.outputs["validated"])
    yield prepared
    yield watch(
        snapshot=snapshot, validated=validated.outputs["validated"], test_set=prepared.outputs["test_set"]
    )


def local_pipeline(until: str = WATCH_STEPS[-1].name) -> Any:
    """The pipeline on this machine, up to and including the step ``until``."""

    @dsl.pipeline(name=WATCH_NAME, display_name=TITLE)
    def watch_champion(
        data_root: str,
        config: str = "pipeline/configs/sample.yaml",
        day: str = "",
        tracking_uri: str = "sqlite:///mlflow.db",
    ) -> None:
        """Measure the champion on a newly labelled day on this machine.

        Args:
            data_root: Folder or URI of the log, with a partition date=YYYY-MM-DD for each day, or a table.
            config: YAML file with the watch's policy and the registry.
            day: The day, YYYY-MM-DD; the log's newest with complete labels if empty.
            tracking_uri: MLflow tracking server or store that holds the registered model.
        """
        add_steps(_tasks(data_root, config, day, tracking_uri), WATCH_STEPS, configure_local_task, until)

    return watch_champion


def cluster_pipeline(configure: Configure) -> Any:
    """The pipeline for a Kubeflow Pipelines server, with an exit handler that reports how the run ended.

    Args:
        configure: sets a task's image, resources, volumes and secrets.
    """

    @dsl.pipeline(name=WATCH_NAME, display_name=TITLE)
    def watch_on_cluster(
        data_root: str,
        tracking_uri: str,
        config: str = "pipeline/configs/heavy_ranker.yaml",
        day: str = "",
    ) -> None:
        """Measure the champion on the newest day with complete labels, and say whether it is still as good.

        Args:
            data_root: URI of the log, with a partition date=YYYY-MM-DD for each day, as s3://logs/impressions; or a
                table, as iceberg://prod/feed.impressions.
            tracking_uri: MLflow server that holds the registered model, as the pods reach it: http://, https://.
            config: YAML file with the watch's policy and the registry: a URI, as s3://logs/mine.yaml, or a path in
                the images.
            day: The day, YYYY-MM-DD; if empty, the last whole day (UTC) whose labels are complete at the run's time.
        """
        with exit_handler("watch", configure):
            scheduled = dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER
            add_steps(_tasks(data_root, config, day, tracking_uri, scheduled), WATCH_STEPS, configure)

    return watch_on_cluster
