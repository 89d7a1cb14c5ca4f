"""How kfp calls build."""

from kfp import dsl

from components.artifacts import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def build(
    snapshot: dsl.Input[dsl.Dataset],
    validated: dsl.Input[dsl.Dataset],
    train_set: dsl.Output[dsl.Dataset],
    calibration_set: dsl.Output[dsl.Dataset],
    test_set: dsl.Output[dsl.Dataset],
) -> None:
    """Rectify labels, split by time, sample and shuffle: training, calibration and test sets."""
    from components.artifacts.door import step

    with step("build"):
        from components.artifacts.log import rows_beside
        from components.build.build import build_datasets

        build_datasets(
            snapshot.path,
            validated.path,
            train_set.path,
            calibration_set.path,
            test_set.path,
            rows_roots={
                "train": rows_beside(train_set.uri),
                "calibration": rows_beside(calibration_set.uri),
                "test": rows_beside(test_set.uri),
            },
        )
