"""How kfp calls notify, whatever became of the steps before it."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("notify"), install_kfp_package=False)
def notify(status: dsl.PipelineTaskFinalStatus, run_id: str, run_name: str) -> None:
    """Delete what the run has left on the cluster, and tell how it ended: to the log, and to the webhook."""
    from components.common.runtime.step import step

    with step("notify"):
        from components.notify.notify import tell_how_it_ended

        tell_how_it_ended(run_id, run_name, status.state, status.error_message)
