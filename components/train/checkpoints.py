"""Where a training keeps its checkpoints, so that the step finds them when it is run again."""

import hashlib
import json
import os
from pathlib import Path

import torch

from components.common.artifacts.snapshot import Snapshot, config_digest
from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.training import Checkpoints

CHECKPOINTS_VARIABLE = "RECAP_CHECKPOINTS"


def checkpoints_of(
    out: Path, snapshot: Snapshot, config: RecapConfig, dataset: DatasetManifest
) -> Checkpoints:
    """The checkpoints of this training: of this config, this data, this start, this version of torch.

    They lie beside the step's output, or, where that does not outlive the process, under the folder that the
    environment variable ``RECAP_CHECKPOINTS`` names. Another training's are never taken up, nor touched.
    """
    champion = snapshot.champion.version if snapshot.champion is not None else None
    origin = [
        config_digest(config),
        dataset.fingerprint,
        champion if config.training.warm_start == "champion" else None,
        torch.__version__,
    ]
    name = hashlib.sha256(json.dumps(origin).encode()).hexdigest()[:32]
    root = os.environ.get(CHECKPOINTS_VARIABLE)
    folder = Path(root) if root else out.with_name(f"{out.name}.checkpoints")
    return Checkpoints(folder / name, config.training.checkpoint.keep)
