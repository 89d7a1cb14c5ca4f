"""The search for better settings as a graph: trials in parallel, in pods with GPUs."""

from typing import Any

from kfp import dsl

from components.resolve.component import resolve
from components.steps import STEP_OF_NAME
from components.validate.component import validate
from pipeline import TUNE_NAME
from pipeline.experiments.tune.cluster.components import (
    prepare_study,
    report_study,
    run_trials,
    train_reference,
)
from pipeline.wiring import Configure

TITLE = "Recap: tune the ranking model"


def cluster_pipeline(configure: Configure) -> Any:
    """The pipeline of a study.

    Args:
        configure: sets a task's image, resources, volumes and secrets, by the step of a retraining that it is like.
    """

    @dsl.pipeline(name=TUNE_NAME, display_name=TITLE)
    def tune(
        data_root: str,
        tracking_uri: str,
        config: str = "pipeline/configs/heavy_ranker.yaml",
        end_date: str = "",
        days: int = 0,
        trials: int = 30,
        workers: int = 4,
        space: str = "",
    ) -> None:
        """Search better settings on validation rows, cut off the training rows. Nothing is registered.

        Args:
            data_root: URI of the log, with a partition date=YYYY-MM-DD for each day, as s3://logs/impressions; or a
                table, as iceberg://prod/feed.impressions.
            tracking_uri: MLflow server that has the trials as runs, as the pods reach it: http://, https://.
            config: YAML file on features, tasks, model, gate: a URI, as s3://logs/mine.yaml, or a path in the images.
            end_date: Last day of the window, YYYY-MM-DD; the log's newest day if empty.
            days: Days in the window; data.days of the config if 0.
            trials: Trials of the study, the current config among them.
            workers: Pods that run trials at the same time, each with the GPUs of a training.
            space: YAML text of field paths with their ranges, over the default search space.
        """
        resolved = resolve(
            config=config,
            data_root=data_root,
            end_date=end_date,
            days=days,
            tracking_uri=tracking_uri,
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            scheduled="",
            purpose="retrain",
        )
        snapshot = resolved.outputs["snapshot"]
        validated = validate(snapshot=snapshot)
        prepared = prepare_study(snapshot=snapshot, validated=validated.outputs["validated"])
        sets = {name: prepared.outputs[name] for name in ("train_set", "calibration_set", "validation_set")}
        referred = train_reference(snapshot=snapshot, space=space, workers=workers, **sets)
        with dsl.ParallelFor(referred.outputs["Output"]) as worker:
            ran = run_trials(
                snapshot=snapshot,
                reference=referred.outputs["reference"],
                space=space,
                worker=worker,
                workers=workers,
                trials=trials,
                **sets,
            )
        reported = report_study(
            snapshot=snapshot, space=space, config=config, ended=dsl.Collected(ran.output), **sets
        )
        for task, like, title in (
            (resolved, "resolve", "Resolve window, files and champion"),
            (validated, "validate", "Validate the log"),
            (prepared, "prepare", "Prepare training, calibration and validation sets"),
            (referred, "train", "Train the current config"),
            (ran, "train", "Run trials"),
            (reported, "evaluate", "Choose the best trial"),
        ):
            configure(task.set_display_name(title), STEP_OF_NAME[like])

    return tune
