"""The kfp component of validate."""

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

    with step("validate") as meter:
        from components.validate.validate import validate_snapshot

        meter.rows = validate_snapshot(snapshot.path, validated.path, docs=data_docs.path).rows
        validated.metadata.update(meter.metadata())
