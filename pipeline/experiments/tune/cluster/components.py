"""The kfp components of a study on a cluster."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("prepare"), install_kfp_package=False)
def prepare_study(
    snapshot: dsl.Input[dsl.Dataset],
    validated: dsl.Input[dsl.Dataset],
    train_set: dsl.Output[dsl.Dataset],
    calibration_set: dsl.Output[dsl.Dataset],
    validation_set: dsl.Output[dsl.Dataset],
) -> None:
    """Split the training rows again, into training, calibration and validation sets by time."""
    from components.common.runtime.step import step

    with step("prepare-study"):
        from components.common.storage.parquet import rows_uri
        from components.prepare.prepare import prepare_datasets

        prepare_datasets(
            snapshot.path,
            validated.path,
            train_set.path,
            calibration_set.path,
            validation_set.path,
            rows_roots={
                "train": rows_uri(train_set.uri),
                "calibration": rows_uri(calibration_set.uri),
                "test": rows_uri(validation_set.uri),
            },
            within_training=True,
        )


@dsl.component(base_image=base_image("train"), install_kfp_package=False)
def train_reference(
    snapshot: dsl.Input[dsl.Dataset],
    train_set: dsl.Input[dsl.Dataset],
    calibration_set: dsl.Input[dsl.Dataset],
    validation_set: dsl.Input[dsl.Dataset],
    space: str,
    workers: int,
    reference: dsl.Output[dsl.Model],
) -> list[int]:
    """Run trial 0, the current config; returns the numbers of the workers."""
    from components.common.runtime.step import step

    with step("train-reference"):
        from pathlib import Path

        from pipeline.experiments.frozen_data import FrozenData
        from pipeline.experiments.tune.cluster.pods import run_reference

        paths = (snapshot.path, train_set.path, calibration_set.path, validation_set.path)
        run_reference(FrozenData(*map(Path, paths)), space, reference.path)
    return list(range(workers))


@dsl.component(base_image=base_image("train"), install_kfp_package=False)
def run_trials(
    snapshot: dsl.Input[dsl.Dataset],
    train_set: dsl.Input[dsl.Dataset],
    calibration_set: dsl.Input[dsl.Dataset],
    validation_set: dsl.Input[dsl.Dataset],
    reference: dsl.Input[dsl.Model],
    space: str,
    worker: int,
    workers: int,
    trials: int,
) -> int:
    """Run a worker's trials one after the other; returns how many ended."""
    from components.common.runtime.step import step

    with step("run-trials"):
        from pathlib import Path

        from pipeline.experiments.frozen_data import FrozenData
        from pipeline.experiments.tune.cluster.pods import run_trials
        from pipeline.experiments.tune.study.workers import PodWorker

        paths = (snapshot.path, train_set.path, calibration_set.path, validation_set.path)
        data = FrozenData(*map(Path, paths))
        ended = run_trials(data, space, reference.path, PodWorker(worker, workers), trials)
    return ended


@dsl.component(base_image=base_image("evaluate"), install_kfp_package=False)
def report_study(
    snapshot: dsl.Input[dsl.Dataset],
    train_set: dsl.Input[dsl.Dataset],
    calibration_set: dsl.Input[dsl.Dataset],
    validation_set: dsl.Input[dsl.Dataset],
    space: str,
    config: str,
    ended: list[int],
    page: dsl.Output[dsl.HTML],
    tuned_config: dsl.Output[dsl.Artifact],
) -> str:
    """Write the study's page and the best trial's config; returns the result in words."""
    from components.common.runtime.step import step

    with step("report-study"):
        from pathlib import Path

        from pipeline.experiments.frozen_data import FrozenData
        from pipeline.experiments.tune.cluster.pods import report_study

        paths = (snapshot.path, train_set.path, calibration_set.path, validation_set.path)
        result = report_study(FrozenData(*map(Path, paths)), space, config, page.path, tuned_config.path)
    return result
