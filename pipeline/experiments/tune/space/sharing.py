"""What tasks share as a dimension: a shared backbone, or experts that have its layers."""

from typing import Any

from pipeline.experiments.tune.space.field_paths import (
    REMOVED,
    Changes,
    Content,
    Path,
    apply,
    get,
    without_nulls,
)

SHARING_FIELD = "model.multi_task_type"
_LAYERS: dict[str, Path] = {
    "share_all": ("model", "backbone"),
    "share_partial": ("model", "backbone"),
    "mmoe": ("model", "mmoe", "expert"),
    "ple": ("model", "ple", "expert"),
}
"""Where each type has the layers that tasks share."""

_EXPERTS: dict[str, dict[str, Any]] = {
    "mmoe": {"num_experts": 4},
    "ple": {"levels": 1, "task_experts": 1, "shared_experts": 1},
}


def sharing_types(content: Content) -> list[str]:
    """The types that the config's layers can be moved to, its own among them; empty if it shares otherwise."""
    return list(_LAYERS) if content["model"]["multi_task_type"] in _LAYERS else []


def change_sharing(content: Content, changes: Changes, kind: str) -> dict[Path, Any]:
    """The changes with the shared layers moved to another type; changes of these layers move with them."""
    old = content["model"]["multi_task_type"]
    section = _LAYERS[old][:2]
    if section == _LAYERS[kind][:2]:
        return {**changes, ("model", "multi_task_type"): kind}
    changed = apply(content, changes)
    layers = without_nulls(get(changed, _LAYERS[old]))
    layers.pop("pos_weight", None)  # of a tower alone; of shared layers it is 1
    kept = {path: value for path, value in changes.items() if path[:2] != section}
    new = layers if kind not in _EXPERTS else {"expert": layers, **_EXPERTS[kind]}
    return {**kept, ("model", "multi_task_type"): kind, section: REMOVED, _LAYERS[kind][:2]: new}
