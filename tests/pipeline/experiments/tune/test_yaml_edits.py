"""Fields of a config's text are changed, and every other character stays."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.experiments.tune.result.yaml_edits import edit, edit_config
from pipeline.experiments.tune.space.field_paths import REMOVED, apply
from recap_model.config import load_config, parse_config

TEXT = """\
# A head
model:  # the net
  backbone:
    mlp_config: {layer_sizes: [256, 128], final_layer_activation: true}  # wide
  # before the type
  multi_task_type: share_all

  tower: {mlp_config: {layer_sizes: [64, 1]}}
empty:
none: null  # for now
training: {batch_size: 512, epochs: 8}
tables:
  - {name: a, dim: 4}
  - name: b   # in lines
    dim: 8
"""


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        (("training", "epochs"), 12, "epochs: 8}", "epochs: 12}"),
        (("training", "ema_decay"), 0.99, "epochs: 8}", "epochs: 8, ema_decay: 0.99}"),
        (("training", "batch_size"), REMOVED, "{batch_size: 512, epochs", "{epochs"),
        (("training", "epochs"), REMOVED, "512, epochs: 8}", "512}"),
        (("model", "backbone", "mlp_config", "layer_sizes", 1), 64, "[256, 128]", "[256, 64]"),
        (("model", "multi_task_type"), "ple", "share_all\n", "ple\n"),
        (
            ("model", "loss", "task_weighting"),
            "uncertainty",
            "[64, 1]}}\n",
            "[64, 1]}}\n  loss: {task_weighting: uncertainty}\n",
        ),
        (
            ("model", "backbone"),
            {"dcn_config": {"poly_degree": 2}},
            "backbone:\n    mlp_config: {layer_sizes: [256, 128], final_layer_activation: true}  # wide",
            "backbone: {dcn_config: {poly_degree: 2}}  # wide",
        ),
        (
            ("model", "backbone"),
            REMOVED,
            "  backbone:\n    mlp_config: {layer_sizes: [256, 128], final_layer_activation: true}  # wide\n",
            "",
        ),
        (("empty", "rate"), 1.5e-05, "empty:\n", "empty: {rate: 1.5e-05}\n"),
        (("none", "rate"), 0.1, "none: null", "none: {rate: 0.1}"),
        (("tables", 1, "dim"), 16, "    dim: 8\n", "    dim: 16\n"),
        (("tables", 0, "dim"), 2, "dim: 4}", "dim: 2}"),
        (("new",), [1, 2], "    dim: 8\n", "    dim: 8\nnew: [1, 2]\n"),
    ],
)
def test_one_field_changes_and_the_rest_stays(path: Any, value: Any, before: str, after: str):
    assert TEXT.count(before) == 1
    edited = edit(TEXT, {path: value})
    assert edited == TEXT.replace(before, after)
    assert yaml.safe_load(edited) == apply(yaml.safe_load(TEXT), {path: value})


@pytest.mark.parametrize("name", ["census", "kuairand_history", "heavy_ranker"])
def test_a_config_of_the_package_reads_as_expected_after_it_is_edited(name: str):
    path = Path("pipeline/configs") / f"{name}.yaml"
    config = load_config(path)
    changes = {("training", "epochs"): 3, ("training", "seed"): 5, ("model", "loss", "normalise"): True}
    expected = parse_config(apply(config.model_dump(mode="json"), changes))
    text, kept = edit_config(path.read_text(), changes, expected)
    assert kept
    assert [line for line in text.splitlines() if "#" in line] == [
        line for line in path.read_text().splitlines() if "#" in line
    ]


def test_a_text_that_does_not_read_as_expected_after_the_edit_is_written_anew():
    config = load_config("pipeline/configs/sample.yaml")
    changes = {("training", "epochs"): 4}
    expected = parse_config(apply(config.model_dump(mode="json"), changes))
    aliased = "training: &one {epochs: 3}\ncopy: *one\n"
    written, kept = edit_config(aliased, changes, expected)
    assert not kept
    assert parse_config(yaml.safe_load(written)) == expected
