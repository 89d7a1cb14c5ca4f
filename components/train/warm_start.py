"""Warm start: initial weights from another model."""

import logging
import tempfile
from pathlib import Path

from components.common.artifacts.snapshot import Snapshot
from components.common.registry import connect, download
from recap_model import load_model
from recap_model.config import RecapConfig
from recap_model.model.ranking_model import MultiTaskRankingModel
from recap_model.training.warm_start import warm_start

log = logging.getLogger(__name__)


def start_warm(model: MultiTaskRankingModel, snapshot: Snapshot, config: RecapConfig) -> str | None:
    """Copy the weights that ``training.warm_start`` names into the model; returns the source, None without one.

    With ``champion`` and no champion, as in a first run, the model keeps its random weights.

    Raises:
        FileNotFoundError, ValueError: the other model does not exist, cannot be read, or shares no parameter.
    """
    wanted, registered = config.training.warm_start, config.training.warm_start_version
    if wanted is None:
        return None
    if wanted == "champion":
        if snapshot.champion is None:
            log.info("event=warm_start champion=none")
            return None
        registered = config.registry.model_name, snapshot.champion.version
    if registered is None:
        return _copy_weights(model, Path(wanted), wanted)
    name, version = registered
    with tempfile.TemporaryDirectory() as folder:
        model_folder = download(connect(snapshot.tracking_uri), name, version, folder)
        return _copy_weights(model, model_folder, f"{name} version {version}")


def _copy_weights(model: MultiTaskRankingModel, folder: Path, source: str) -> str:
    new = warm_start(model, load_model(folder))
    log.info("event=warm_start from=%r new=%d %s", source, len(new), " ".join(new[:20]))
    return source
