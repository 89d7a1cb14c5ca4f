"""A scan of a snapshot in this process."""

from components.common.artifacts.snapshot import Snapshot
from components.common.engine.local import LocalEngine
from components.validate.profile.columns import list_blocks
from components.validate.profile.scan import Log, Scan, scan_log
from recap_model.config import RecapConfig


def scan(snapshot: Snapshot, config: RecapConfig, groups: int = 1) -> Scan:
    """Read a snapshot's files, cut into at most so many groups."""
    with LocalEngine(1) as engine:
        engine.item_count = groups
        return scan_log(Log(snapshot, config, list_blocks(config)), engine)
