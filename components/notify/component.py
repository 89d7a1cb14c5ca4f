"""How kfp calls notify, whatever became of the steps before it."""

from kfp import dsl

from components.artifacts import images


@dsl.component(base_image=images.REGISTRY, install_kfp_package=False)
def notify(status: dsl.PipelineTaskFinalStatus, run_id: str, run_name: str) -> None:
    """Delete what the run has left on the cluster, and tell how it ended: to the log, and to the webhook."""
    from components.artifacts.door import step

    with step("notify"):
        from components.artifacts.webhook import send
        from components.notify.leftovers import delete_training_job

        delete_training_job(run_id)
        send(
            "run_ended",
            {
                "run_id": run_id,
                "run_name": run_name,
                "state": status.state,
                "failed_step": status.pipeline_task_name if status.state != "SUCCEEDED" else None,
                "error": status.error_message,
            },
        )
