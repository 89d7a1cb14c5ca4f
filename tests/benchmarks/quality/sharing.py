"""The same config with every way of sharing: nothing, all, part, and two mixtures of experts."""

import copy
from typing import Any

Content = dict[str, Any]
SHARING = ("share_none", "share_all", "share_partial", "mmoe", "ple")


def shared_as(content: Content, kind: str) -> Content:
    """The YAML content of a config with a backbone, changed to another ``multi_task_type``.

    The backbone is kept where the type has one; an expert is the backbone with layers half as wide, four of them
    for mmoe, one for each task and one for all in ple.

    Raises ValueError if the config has no backbone.
    """
    changed = copy.deepcopy(content)
    model = changed["model"]
    backbone = model.pop("backbone", None)
    if backbone is None:
        raise ValueError(f"model.multi_task_type: {model['multi_task_type']}: give a config with a backbone")
    model["multi_task_type"] = kind
    if kind in ("share_all", "share_partial"):
        model["backbone"] = backbone
    elif kind == "mmoe":
        model["mmoe"] = {"expert": _halved(backbone), "num_experts": 4}
    elif kind == "ple":
        model["ple"] = {"expert": _halved(backbone)}
    return changed


def _halved(backbone: Content) -> Content:
    expert = copy.deepcopy(backbone)
    mlp = expert["dcn_config"]["parallel_mlp"] if "dcn_config" in expert else expert["mlp_config"]
    mlp["layer_sizes"] = [size // 2 for size in mlp["layer_sizes"]]
    return expert
