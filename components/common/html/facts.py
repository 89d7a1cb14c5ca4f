"""The facts of a run that stand in the header of its pages."""

from components.common.artifacts.snapshot import Snapshot
from recap_model.config import RecapConfig


def run_facts(snapshot: Snapshot, config: RecapConfig) -> dict[str, str]:
    """Model, run, champion and window, by their names."""
    return {
        "model": config.registry.model_name,
        "run": snapshot.run_id,
        "champion": f"version {snapshot.champion.version}" if snapshot.champion else "none",
        "data": f"{snapshot.first_day} to {snapshot.last_day}",
    }
