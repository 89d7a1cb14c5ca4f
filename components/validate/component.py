"""How kfp calls validate."""

from kfp import dsl

from components.artifacts import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def validate(
    snapshot: dsl.Input[dsl.Dataset],
    validated: dsl.Output[dsl.Dataset],
    data_docs: dsl.Output[dsl.HTML],
) -> None:
    """Check the log against expectations; a critical failure ends the run."""
    from components.artifacts.door import step

    with step("validate"):
        from components.validate.validate import validate_snapshot

        validate_snapshot(snapshot.path, validated.path, docs=data_docs.path)
