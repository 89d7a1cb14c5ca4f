"""Clean up after a run and report how it ended."""

from components.common.runtime.webhook import send
from components.notify.cleanup import delete_training_job

# Names of servers that keep runs in ML Metadata (2.17), mapped to those of the API.
_STATES = {"COMPLETE": "SUCCEEDED", "CACHED": "SUCCEEDED", "CANCELED": "CANCELLED"}


def report_run_end(run_id: str, run_name: str, state: str, error: str | None) -> bool:
    """Delete the run's training job if it still exists, and send ``run_ended``; returns whether it was delivered.

    Args:
        state: the run's final state, as the server names it.
        error: the server's error message, which may be missing even for a failure.
    """
    delete_training_job(run_id)
    content = {
        "run_id": run_id,
        "run_name": run_name,
        "state": _STATES.get(state, state),
        "error": error or None,
    }
    return send("run_ended", content)
