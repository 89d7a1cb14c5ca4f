"""Names and numbers that a later step could not take are refused by the config check."""

from typing import Any

import pytest

from recap_model.config import ConfigError, parse_config
from tests.tiny import sparse_config, tiny_config


def _with(section: str, **values: Any) -> dict[str, Any]:
    content = sparse_config().model_dump(mode="json", exclude_none=True)
    *path, last = section.split(".")
    holder = content
    for name in path:
        holder = holder[name]
    holder[last] = {**holder[last], **values}
    return content


def _task(name: str, **fields: Any) -> dict[str, Any]:
    return _with("tasks", **{name: {"label": "x", **fields}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *[
            (_task(name), "a task's name has letters, digits")
            for name in ("CTR@10", "buy[promo]", "a%", "a?", "a'b")
        ],
        *[(_task(name), "has no '__' and no '_' beside") for name in ("a__b", "a_.b")],
        *[(_task(name), "has no empty part") for name in ("a//b", "a/", "/a", "..", "a/./b")],
        (_task(""), "a name must not be empty"),
        (_task("a\nb"), r"no control characters, as '\n'"),
        (_with("features", binary=["a" * 501]), "a name has at most 500 characters"),
        (_task("a" * 201), "at most 200 characters"),
        (_task("score"), "tasks.score: is the column of the weighted score"),
        (_task("user_id"), "tasks.user_id: is features.ids.user too"),
        (_with("features.ids", user="score"), "features.ids.user: 'score' is the weighted score"),
        (
            _task("t", label="engaged_ms"),
            "tasks.t.label: column 'engaged_ms' is features.timestamps.engaged too",
        ),
        (_with("features", weight="like"), "tasks.like.label: column 'like' is features.weight too"),
        (
            _with(
                "features",
                derived={"like": {"kind": "ratio", "of": ["a", "b"]}},
                binary=["has_video", "like"],
            ),
            "features.derived.like: is the label of task 'like'",
        ),
        *[
            (_with("features", binary=[name]), f"features.binary.0: {name!a}: a name ")
            for name in ("", "a\tb", "\x1b[1m", "a\u2028b", "\ud800")
        ],
        (
            _with("features", sparse=["seen", "logits"]) | {"registry": {"onnx": True}},
            "features.sparse: 'logits' is",
        ),
        *[
            (_with("registry", model_name=name), "registry.model_name: ")
            for name in ("a/b", "a:b", "a@b", "a?", "..")
        ],
        (
            _with("registry", model_name="tiny.promotions"),
            "ends the name of the record of another model's promotions",
        ),
        (_with("registry", experiment=""), "registry.experiment: '': a name must not be empty"),
        (
            _with(
                "evaluation", slices=[{"name": "a", "column": "topic", "value": value} for value in (1, 2)]
            ),
            "evaluation.slices: the name 'a' is given twice",
        ),
    ],
)
def test_a_name_that_a_later_step_could_not_hold_is_refused(content: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        parse_config(content)
    assert message in str(caught.value)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


_TABLE = {"name": "t", "num_embeddings": 9, "embedding_dim": 2, "index": 0}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("training.seed", 2**70),
        ("training.seed", -1),
        ("data.seed", 2**64),
        ("evaluation.seed", -1),
        ("tasks.like.score_weight", 1e308),
        ("tasks.like.neg_downsampling_rate", 1e-300),
        ("model.tower.pos_weight", 1e-300),
        ("model.tower.mlp_config.layer_sizes", [10**12, 1]),
        ("model.small_embeddings", {"tables": [{**_TABLE, "num_embeddings": 2**60}]}),
        ("model.stratifiers", [{"name": "a", "index": 0, "value": 2**63}]),
        ("optimizer.single_task_learning_rate.constant", 1e300),
        ("optimizer.adam.epsilon", 1e-320),
        ("data.days", 10**9),
        ("data.split", {"by": "days", "test_days": 10**9}),
        ("training.epochs", 2**70),
        ("training.threads", 10**9),
        ("training.gradient_clip_norm", 1e300),
        ("training.distribution", {"processes": 10**9}),
        ("evaluation.bootstrap_replicates", 10**12),
        ("evaluation.slices", [{"name": "a", "column": "topic", "value": -(2**70)}]),
        ("evaluation.gate.floors.calibration_ratio", [1.2, 0.8]),
    ],
)
def test_a_number_with_which_a_later_step_could_not_compute_is_refused(path: str, value: Any):
    content = tiny_config().model_dump(mode="json", exclude_none=True)
    *sections, field = path.split(".")
    holder = content
    for name in sections:
        holder = holder[name]
    holder[field] = value
    with pytest.raises(ConfigError, match=f"config: {path}"):
        parse_config(content)
