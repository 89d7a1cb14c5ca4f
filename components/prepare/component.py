"""The kfp component of prepare."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("prepare"), install_kfp_package=False)
def prepare(
    snapshot: dsl.Input[dsl.Dataset],
    validated: dsl.Input[dsl.Dataset],
    train_set: dsl.Output[dsl.Dataset],
    calibration_set: dsl.Output[dsl.Dataset],
    test_set: dsl.Output[dsl.Dataset],
) -> None:
    """Rectify labels, split by time, sample and shuffle: training, calibration and test sets."""
    from components.common.runtime.step import step

    with step("prepare") as meter:
        from components.common.storage.parquet import rows_uri
        from components.prepare.prepare import prepare_datasets

        manifests = prepare_datasets(
            snapshot.path,
            validated.path,
            train_set.path,
            calibration_set.path,
            test_set.path,
            rows_roots={
                "train": rows_uri(train_set.uri),
                "calibration": rows_uri(calibration_set.uri),
                "test": rows_uri(test_set.uri),
            },
        )
        meter.rows = sum(manifest.rows for manifest in manifests.values())
        test_set.metadata.update(meter.metadata())
