"""The kfp component of promote."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("promote"), install_kfp_package=False)
def promote(
    version: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    promotion: dsl.Output[dsl.Artifact],
    history: dsl.Output[dsl.HTML],
) -> None:
    """Apply the decision: move the alias champion, or report why not; then show the model's history."""
    from components.common.runtime.step import step

    with step("promote") as meter:
        from components.promote.promote import promote_version

        promote_version(version.path, evaluation.path, promotion.path, history=history.path, meter=meter)
