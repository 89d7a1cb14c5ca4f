"""The kfp component of notify, the pipeline's exit handler."""

from kfp import dsl

from components.steps import base_image


@dsl.component(base_image=base_image("notify"), install_kfp_package=False)
def notify(status: dsl.PipelineTaskFinalStatus, run_id: str, run_name: str) -> None:
    """Clean up the cluster and report how the run ended, to the log and the webhook."""
    from components.common.runtime.step import step

    with step("notify"):
        from components.notify.notify import report_run_end

        report_run_end(run_id, run_name, status.state, status.error_message)
