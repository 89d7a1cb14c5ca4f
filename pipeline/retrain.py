"""The pipeline: from engagement logs to a promoted model, a step for each stretch of the data's way."""

from kfp import dsl

from components.build.component import build
from components.calibrate.component import calibrate
from components.evaluate.component import evaluate
from components.promote.component import promote
from components.register.component import register
from components.resolve.component import resolve
from components.train.component import train
from components.validate.component import validate

STEPS = ("resolve", "validate", "build", "train", "calibrate", "evaluate", "register", "promote")


@dsl.pipeline(name="recap-retrain", display_name="Recap: retrain the ranking model")
def retrain(
    data_root: str,
    config: str = "pipeline/configs/sample.yaml",
    end_date: str = "",
    days: int = 0,
    tracking_uri: str = "sqlite:///mlflow.db",
) -> None:
    """Retrain the multi-task ranking model on the newest engagement logs, and promote it if the gate says so.

    Args:
        data_root: Folder or URI of the log, with a partition date=YYYY-MM-DD for each day.
        config: YAML file that describes features, tasks, model and gate.
        end_date: Last day of the data window, YYYY-MM-DD; the log's newest day if empty.
        days: Days in the window; data.days of the config if 0.
        tracking_uri: MLflow tracking server or store that holds the registered model.
    """
    resolved = resolve(
        config=config,
        data_root=data_root,
        end_date=end_date,
        days=days,
        tracking_uri=tracking_uri,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    )
    resolved.set_display_name("Resolve window, files and champion")
    snapshot = resolved.outputs["snapshot"]

    validated = validate(snapshot=snapshot).set_display_name("Validate the log")
    built = build(snapshot=snapshot, validated=validated.outputs["validated"])
    built.set_display_name("Build training, calibration and test sets")
    trained = train(snapshot=snapshot, train_set=built.outputs["train_set"])
    trained.set_display_name("Train the model")
    # A node may be taken away; the step then goes on from its checkpoint.
    trained.set_retry(num_retries=2)
    calibrated = calibrate(
        snapshot=snapshot,
        model=trained.outputs["model"],
        calibration_set=built.outputs["calibration_set"],
    ).set_display_name("Calibrate each task")
    evaluated = evaluate(
        snapshot=snapshot,
        model=calibrated.outputs["calibrated_model"],
        test_set=built.outputs["test_set"],
    ).set_display_name("Evaluate and decide")
    registered = register(
        snapshot=snapshot,
        model=calibrated.outputs["calibrated_model"],
        evaluation=evaluated.outputs["evaluation"],
        validated=validated.outputs["validated"],
    ).set_display_name("Register the version")
    promoted = promote(
        version=registered.outputs["version"], evaluation=evaluated.outputs["evaluation"]
    ).set_display_name("Promote if the decision is yes")

    # Only steps whose outputs follow from their inputs alone may be answered from a cache; the others
    # look at a registry or a log that moves.
    for task in (resolved, validated, built, trained, calibrated, evaluated, registered, promoted):
        task.set_caching_options(enable_caching=False)
