"""The kfp components of prepare."""

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

    with step("prepare"):
        from components.common.storage.parquet import rows_uri
        from components.prepare.prepare import prepare_datasets

        prepare_datasets(
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


@dsl.component(base_image=base_image("prepare"), install_kfp_package=False)
def prepare_group(
    snapshot: dsl.Input[dsl.Dataset],
    validated: dsl.Input[dsl.Dataset],
    group: int,
    groups: int,
    part: dsl.Output[dsl.Dataset],
) -> None:
    """Read one group of the log's files into parts of the sets, in parallel with the pods of the other groups."""
    from components.common.runtime.step import step

    with step("prepare"):
        from components.common.storage.parquet import rows_uri
        from components.prepare import fan_out

        fan_out.prepare_group(snapshot.path, validated.path, part.path, group, groups, rows_uri(part.uri))


@dsl.component(base_image=base_image("prepare"), install_kfp_package=False)
def prepare_join(
    snapshot: dsl.Input[dsl.Dataset],
    parts: dsl.Input[list[dsl.Dataset]],
    train_set: dsl.Output[dsl.Dataset],
    calibration_set: dsl.Output[dsl.Dataset],
    test_set: dsl.Output[dsl.Dataset],
) -> None:
    """Join the groups' parts to the training, calibration and test sets."""
    from components.common.runtime.step import step

    with step("prepare"):
        from components.common.storage.parquet import rows_uri
        from components.prepare import fan_out

        fan_out.join_groups(
            snapshot.path,
            [part.path for part in parts],
            train_set.path,
            calibration_set.path,
            test_set.path,
            rows_roots={
                "train": rows_uri(train_set.uri),
                "calibration": rows_uri(calibration_set.uri),
                "test": rows_uri(test_set.uri),
            },
        )
