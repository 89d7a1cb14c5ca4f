"""The end of a run: what it has left is deleted, and who must know is told."""

from components.common.runtime.webhook import send
from components.notify.cleanup import delete_training_job

# As servers that keep runs in ML Metadata (2.17) call them, beside the names of the API.
_STATES = {"COMPLETE": "SUCCEEDED", "CACHED": "SUCCEEDED", "CANCELED": "CANCELLED"}


def tell_how_it_ended(run_id: str, run_name: str, state: str, error: str | None) -> bool:
    """Delete the run's training job, if it is still there, and send ``run_ended``; returns whether that arrived.

    Args:
        state: of all steps before this one together, in the server's words.
        error: what the server says of a failure, which may be nothing.
    """
    delete_training_job(run_id)
    content = {
        "run_id": run_id,
        "run_name": run_name,
        "state": _STATES.get(state, state),
        "error": error or None,
    }
    return send("run_ended", content)
