"""The config says all its errors at once, each with the path of its field."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from recap_model.config import ConfigError, RecapConfig, data_spec, load_config, parse_config
from recap_model.config.recap import parse_yaml
from tests.tiny import tiny_config


def tiny_content() -> dict:
    return tiny_config().model_dump(mode="json")


def test_the_effective_config_reads_back_to_itself(tmp_path: Path):
    config = tiny_config()
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert load_config(path) == config


def test_every_error_is_said_at_once_with_its_path():
    content = tiny_content()
    content["training"]["batch_size"] = 0
    content["data"]["dayz"] = 3
    content["model"]["tower"]["mlp_config"]["dropout"] = {"rate": 3.0}
    with pytest.raises(ConfigError) as caught:
        parse_config(content, source="c.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert any(line.startswith("c.yaml: training.batch_size: 0: ") for line in lines)
    assert any(
        line.startswith("c.yaml: data.dayz: there is no such setting; did you mean days?") for line in lines
    )
    assert any(line.startswith("c.yaml: model.tower.mlp_config.dropout.rate: 3.0: ") for line in lines)


def test_tasks_of_another_section_are_refused_by_name():
    content = tiny_content()
    content["calibration"]["tasks"] = {"likes": "platt"}
    content["evaluation"]["gate"]["objectives"] = ["repost"]
    with pytest.raises(
        ConfigError, match=r"unknown task 'likes'; tasks: like, reply\n.*unknown task 'repost'"
    ):
        parse_config(content)


def test_slices_are_by_columns_of_the_discrete_group():
    content = tiny_content()
    content["evaluation"]["slices"] = [{"name": "videos", "column": "has_video", "value": 1}]
    with pytest.raises(
        ConfigError, match=r"evaluation.slices.0.column: 'has_video' is no column of features.discrete"
    ):
        parse_config(content)


def test_a_correction_by_value_is_refused_and_a_stored_null_is_not():
    content = tiny_content()
    content["calibration"]["by_value"] = None
    assert parse_config(content).calibration.folds == 5
    content["calibration"]["by_value"] = {"column": "topic"}
    with pytest.raises(ConfigError, match=r"calibration.by_value: there is no such setting"):
        parse_config(content)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"like": "likes"}, "tasks.like.given: unknown task 'likes'; tasks: like, reply"),
        ({"like": "like"}, "tasks.like.given: like needs like; `given` must not form a cycle"),
        ({"like": "reply", "reply": "like"}, "tasks.reply.given: reply needs like needs reply; "),
    ],
)
def test_a_chain_of_tasks_has_a_first_one(given: dict[str, str], message: str):
    content = tiny_content()
    for task, other in given.items():
        content["tasks"][task]["given"] = other
    with pytest.raises(ConfigError, match=message):
        parse_config(content)


def test_the_path_of_a_number_of_steps_has_no_name_of_its_kind():
    content = tiny_content()
    ramp = {"learning_rate": 0.1, "num_ramp_steps": "ten"}
    content["optimizer"] = {"single_task_learning_rate": {"linear_ramp_to_constant": ramp}}
    path = "optimizer.single_task_learning_rate.linear_ramp_to_constant.num_ramp_steps"
    with pytest.raises(ConfigError, match=rf"{path}: 'ten': must be a whole number"):
        parse_config(content)


def test_bins_are_of_continuous_columns():
    content = tiny_content()
    knots = {"piecewise_linear_config": {"bins_by_column": {"likes": 128, "lang": 4}}}
    content["model"]["featurization_config"] = knots
    path = "model.featurization_config.piecewise_linear_config.bins_by_column"
    with pytest.raises(ConfigError, match=f"{path}: 'lang' is no column of features.continuous"):
        parse_config(content)


def test_a_label_is_no_feature():
    content = tiny_content()
    content["tasks"]["like"]["label"] = "likes"
    with pytest.raises(ConfigError, match="'likes' is a feature too"):
        parse_config(content)


def test_a_column_belongs_to_one_group():
    content = tiny_content()
    content["features"]["binary"] = ["likes"]
    with pytest.raises(ConfigError, match="column 'likes' is named twice"):
        parse_config(content)


def test_a_file_that_is_no_mapping_is_one_line(tmp_path: Path):
    path = tmp_path / "broken.yaml"
    for text, reason in (("- a\n", "not list"), ("a: [", "not YAML"), ("", "not NoneType")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=reason) as caught:
            load_config(path)
        assert "\n" not in str(caught.value)


_NINEFOLD = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n".join(["a0: &a0 [x]", *_NINEFOLD, "features: *a9", "tasks: *a9"]), "aliases stand for over"),
        ("features: &f\n  derived: *f\n", "an alias stands for what it is itself in"),
        ("data: " + "[" * 20_000, "nested too deeply"),
        ("!!python/object/apply:os.system ['touch hacked']", "could not determine a constructor"),
        ("data: 1" + "0" * 5_000, "not YAML: Exceeds the limit"),
        ("features: 2026-02-30", "not YAML: day is out of range"),
        ("a: !!bool x", "not YAML: 'x'"),
        ("a: !!timestamp x", "not YAML: "),
        ("a: \x00", "not YAML: unacceptable character"),
        (
            "data: {days: 2}\ntasks: {}\ndata: {}",
            "'data' is written twice in one section, on lines 1 and 3; keep",
        ),
        ("data:\n  split: {by: days, by: rows}", "'by' is written twice in one section, on lines 2 and 2"),
    ],
)
def test_a_trick_of_yaml_is_one_line_and_takes_no_time(text: str, reason: str):
    with pytest.raises(ConfigError, match=reason) as caught:
        parse_yaml(text.encode(), "c.yaml")
    assert str(caught.value).startswith("c.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["yes", "1:30"])
def test_what_yaml_1_1_takes_for_a_number_is_a_word(word: str):
    with pytest.raises(ConfigError, match=rf"training\.epochs: '{word}': must be a whole number"):
        parse_yaml(f"training: {{epochs: {word}}}".encode(), "c.yaml")


def test_a_task_may_be_called_no_and_a_switch_be_on():
    content = yaml.safe_load(tiny_config().to_yaml())
    content["tasks"]["no"] = content["tasks"]["like"]
    content["training"]["compile"] = "on"
    text = yaml.safe_dump(content).replace("'no'", "no").replace("'on'", "on")
    config = parse_yaml(text.encode(), "c.yaml")
    assert "no" in config.tasks
    assert config.training.compile


def test_the_data_spec_has_the_widths_of_the_groups():
    assert data_spec(tiny_config()) == {"continuous": 3, "binary": 1, "discrete": 2, "user_embedding": 4}


def test_importing_the_library_costs_nothing_before_a_name_of_it_is_used():
    code = """
import sys
before = set(sys.modules)
import recap_model
print(*{name.partition(".")[0] for name in sys.modules.keys() - before} - sys.stdlib_module_names)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["recap_model"]


def test_reading_a_config_does_not_import_torch():
    code = "import sys, recap_model; recap_model.load_config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_config_written_as_yaml_names_every_section():
    assert set(yaml.safe_load(tiny_config().to_yaml())) == set(RecapConfig.model_fields)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"distribution": {"kind": "ray"}}, "training.distribution: kind is one of single_node, train_job"),
        ({"distribution": {"kind": "train_job"}}, "training.distribution.nodes: is required"),
        (
            {"distribution": {"kind": "train_job", "nodes": 0}},
            "distribution.nodes: 0: must be at least 1",
        ),
        (
            {"distribution": {"kind": "train_job", "nodes": 2, "gpus_per_node": 4}, "device": "cpu"},
            "distribution.gpus_per_node: 4 GPUs that device: cpu leaves idle",
        ),
        (
            {"distribution": {"kind": "train_job", "nodes": 2}, "device": "cuda"},
            "distribution.gpus_per_node: 0, but device: cuda needs one",
        ),
        (
            {"distribution": {"kind": "train_job", "nodes": 2, "gpus_per_node": 4}, "batch_size": 12},
            "batch_size: 12 rows cannot be divided into 8 parts",
        ),
        (
            {"warm_start": "models:/tiny@champion"},
            "training.warm_start: 'models:/tiny@champion': names no version by its number, as models:/NAME/NUMBER",
        ),
    ],
)
def test_training_that_cannot_be_is_told_by_its_field(training: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        tiny_config(training=training)


def test_a_distribution_without_a_kind_is_of_one_machine():
    assert (
        tiny_config(training={"distribution": {"processes": 2}}).training.distribution.kind == "single_node"
    )


@pytest.mark.parametrize(
    ("section", "content", "message"),
    [
        ("modle", {}, "config: modle: there is no such setting; did you mean model?"),
        (
            "training",
            {"batchsize": 4},
            "training.batchsize: there is no such setting; did you mean batch_size?",
        ),
        (
            "training",
            {"distribution": {"processes": 2, "nodes": 1}},
            "training.distribution.nodes: there is no such setting; those here are kind, processes, tables",
        ),
        (
            "tasks",
            {"like": {"weight": 1.0}},
            "tasks.like.weight: there is no such setting; those here are cap, given, kind, label, loss, "
            "neg_downsampling_rate, only_where, pos_downsampling_rate, power, scale, score_weight, unless, …",
        ),
        (
            "model",
            {"small_embeddings": {"tables": [{"num_embedding": 3}]}},
            "tables.0.num_embedding: there is no such setting; did you mean num_embeddings?",
        ),
    ],
)
def test_a_setting_that_does_not_exist_is_told_with_those_that_do(
    section: str, content: dict[str, Any], message: str
):
    with pytest.raises(ConfigError, match=re.escape(message) + "(\n|$)"):
        parse_config({**tiny_content(), section: content})
