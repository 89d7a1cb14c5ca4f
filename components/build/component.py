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


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def build_group(
    snapshot: dsl.Input[dsl.Dataset],
    validated: dsl.Input[dsl.Dataset],
    group: int,
    groups: int,
    part: dsl.Output[dsl.Dataset],
) -> None:
    """Read one group of the log's files for the sets, beside the pods of the other groups."""
    from components.artifacts.door import step

    with step("build"):
        from components.artifacts.log import rows_beside
        from components.build import pods

        pods.build_group(snapshot.path, validated.path, part.path, group, groups, rows_beside(part.uri))


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def build_join(
    snapshot: dsl.Input[dsl.Dataset],
    parts: dsl.Input[list[dsl.Dataset]],
    train_set: dsl.Output[dsl.Dataset],
    calibration_set: dsl.Output[dsl.Dataset],
    test_set: dsl.Output[dsl.Dataset],
) -> None:
    """Make the training, calibration and test sets of what the groups' pods have read."""
    from components.artifacts.door import step

    with step("build"):
        from components.artifacts.log import rows_beside
        from components.build import pods

        pods.join_groups(
            snapshot.path,
            [part.path for part in parts],
            train_set.path,
            calibration_set.path,
            test_set.path,
            rows_roots={
                "train": rows_beside(train_set.uri),
                "calibration": rows_beside(calibration_set.uri),
                "test": rows_beside(test_set.uri),
            },
        )
