"""Golden vectors: numbers of the published ranker, from the folder that RECAP_GOLDEN_DIR names."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file
from torch import Tensor

TOLERANCE = {"atol": 1e-5, "rtol": 0.0}
_BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared" / "golden"


class Vector(NamedTuple):
    """One file: the config, the published parameters, what went in and what came out."""

    config: dict[str, Any]
    params: dict[str, Tensor]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def golden_folder() -> Path:
    return Path(os.environ.get("RECAP_GOLDEN_DIR", _BESIDE_THE_REPOSITORY))


def names_of(kind: str) -> list[str]:
    """The vectors of a kind, told by their config or, where that is too little, by their name."""
    index = golden_folder() / "index.json"
    if not index.is_file():
        return []
    entries = json.loads(index.read_text())
    return [name for name, entry in entries.items() if _kind(name, entry["config"]) == kind]


def _kind(name: str, config: dict[str, Any]) -> str:
    marks = {
        "multi_task_type": "model",
        "mask_blocks": "masknet",
        "layer_sizes": "mlp",
        "neg_downsampling_rate": "numeric_calibration",
        "clip_magnitude": "double_norm_log",
    }
    found = (kind for mark, kind in marks.items() if mark in config)
    return next(found, "learning_rates" if name.startswith("learning_rates") else "other")


def read(name: str) -> Vector:
    folder = golden_folder()
    tensors = load_file(folder / f"{name}.safetensors")
    parts: dict[str, dict[str, Tensor]] = {"param": {}, "input": {}, "output": {}}
    for key, tensor in tensors.items():
        part, _, rest = key.partition(".")
        parts[part][rest] = tensor
    config = json.loads((folder / "index.json").read_text())[name]["config"]
    return Vector(config, parts["param"], parts["input"], parts["output"])
