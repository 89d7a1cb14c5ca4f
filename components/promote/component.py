"""How kfp calls promote."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("promote"), install_kfp_package=False)
def promote(
    version: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    promotion: dsl.Output[dsl.Artifact],
) -> None:
    """Obey the decision: move the alias champion, or say why not."""
    from components.common.runtime.step import step

    with step("promote"):
        from components.common.runtime.webhook import send
        from components.promote.promote import promote_version

        result = promote_version(version.path, evaluation.path, out=promotion.path)
        happened = "promoted" if result.promoted else "waiting" if result.waits else "held"
        send(happened, result.event())
