"""The kfp components of validate."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("validate"), install_kfp_package=False)
def validate(
    snapshot: dsl.Input[dsl.Dataset],
    validated: dsl.Output[dsl.Dataset],
    data_docs: dsl.Output[dsl.HTML],
) -> None:
    """Check the log against expectations; a critical failure ends the run."""
    from components.common.runtime.step import step

    with step("validate"):
        from components.validate.validate import validate_snapshot

        validate_snapshot(snapshot.path, validated.path, docs=data_docs.path)


@dsl.component(base_image=base_image("validate"), install_kfp_package=False)
def validate_group(
    snapshot: dsl.Input[dsl.Dataset],
    group: int,
    groups: int,
    part: dsl.Output[dsl.Dataset],
) -> None:
    """Profile one group of the log's files, in parallel with the pods of the other groups."""
    from components.common.runtime.step import step

    with step("validate"):
        from components.validate import fan_out

        fan_out.validate_group(snapshot.path, part.path, group, groups)


@dsl.component(base_image=base_image("validate"), install_kfp_package=False)
def validate_join(
    snapshot: dsl.Input[dsl.Dataset],
    parts: dsl.Input[list[dsl.Dataset]],
    validated: dsl.Output[dsl.Dataset],
    data_docs: dsl.Output[dsl.HTML],
) -> None:
    """Merge the groups' profiles and check them against expectations; a critical failure ends the run."""
    from components.common.runtime.step import step

    with step("validate"):
        from components.validate import fan_out

        fan_out.join_groups(snapshot.path, [part.path for part in parts], validated.path, data_docs.path)
