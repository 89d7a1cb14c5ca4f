"""The search space: what follows from a config, what a file changes, and the configs at its points."""

from pathlib import Path

import pytest
from optuna.trial import create_trial

from pipeline.experiments.tune.space.changed_space import read_space
from pipeline.experiments.tune.space.default_space import default_space
from pipeline.experiments.tune.space.field_paths import REMOVED
from pipeline.experiments.tune.space.space import Dimension, Space
from recap_model.config import ConfigError, RecapConfig, load_config, parse_config
from tests.tiny import tiny_config


def packaged(name: str) -> RecapConfig:
    return load_config(Path("pipeline/configs") / f"{name}.yaml")


@pytest.mark.parametrize("name", ["census", "kuairand_history"])
def test_every_corner_of_the_default_space_of_a_config_is_a_config_and_its_middle_the_config_itself(
    name: str,
):
    config = packaged(name)
    space = default_space(config, 1_000_000)
    create_trial(value=0.0, params=space.current_point, distributions=space.distributions())
    assert len(space.dimensions) > 8
    current = space.current_point
    assert space.at(current) == (config, {})
    for one in space.dimensions:
        ends = list(getattr(one.distribution(), "choices", ())) or [one.low, one.high]
        for end in ends:
            value = int(end) if one.kind == "int" else end
            changed, changes = space.at({**current, one.name: value})
            assert bool(changes) == (changed != config)


def test_settings_that_hang_together_change_together():
    config = packaged("census")
    content = config.model_dump(mode="json")
    content["optimizer"]["single_task_learning_rate"]["linear_ramp_to_cosine"] |= {
        "num_ramp_steps": 100,
        "final_num_steps": 1172,
    }
    space = default_space(parse_config(content), 1_000_000)
    point = space.current_point
    changed, changes = space.at(
        {
            **point,
            "training.batch_size": "1024",
            "optimizer.single_task_learning_rate": 2.0,
            "model.multi_task_type": '"mmoe"',
            "model.backbone.*.layer_sizes": 0.5,
            "model.tower.*.layer_sizes": 0.5,
        }
    )
    schedule = changed.optimizer.single_task_learning_rate
    assert schedule is not None
    cosine = schedule.linear_ramp_to_cosine
    assert cosine is not None
    # Twice the batch, half the steps; both rates of a schedule by one factor.
    assert (cosine.num_ramp_steps, cosine.final_num_steps) == (50, 586)
    assert (cosine.learning_rate, cosine.final_learning_rate) == (0.003, 0.00003)
    # The backbone's layers, as changed, are each expert's; a tower still ends in one logit.
    assert changes["model", "backbone"] is REMOVED
    assert changed.model.mmoe is not None
    expert = changed.model.mmoe.expert.dcn_config
    assert expert is not None
    assert expert.parallel_mlp is not None
    assert expert.parallel_mlp.layer_sizes == [128, 64]
    assert changed.model.tower is not None
    assert changed.model.tower.mlp_config is not None
    assert changed.model.tower.mlp_config.layer_sizes == [32, 1]


def test_a_file_replaces_adds_and_fixes_dimensions(tmp_path: Path):
    space = default_space(tiny_config(), 10_000)
    file = tmp_path / "space.yaml"
    file.write_text(
        "optimizer.single_task_learning_rate.constant: {low: 0.001, high: 0.1, log: true}\n"
        "training.epochs: fixed\n"
        "training.gradient_clip_norm: [null, 1.0]\n"
        "model.*.layer_sizes: {scale: [0.25, 8]}\n"
    )
    read = read_space(space, file)
    names = {one.name: one for one in read.dimensions}
    assert names["optimizer.single_task_learning_rate.constant"].words == "0.001 to 0.1 (log)"
    assert names["training.gradient_clip_norm"].choices == (None, 1.0)
    assert names["model.*.layer_sizes"].high == 8.0
    gone = {
        "optimizer.single_task_learning_rate",
        "training.epochs",
        "model.backbone.*.layer_sizes",
        "model.tower.*.layer_sizes",
    }
    assert gone <= {one.name for one in space.dimensions}
    assert not gone & names.keys()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (
            "training.batchsize: [1, 2]",
            "training.batchsize: there is no such setting; did you mean batch_size?",
        ),
        ("model.*.nothing: {scale: [1, 2]}", "no field of the config has this path"),
        ("model.nothing: fixed", "no field of the config has this path"),
        ("training.epochs: {low: 3, high: 1}", "low: 3, high: 1: two numbers, the lower one first"),
        ("training.epochs: {low: 0, high: 3}", "training.epochs: 0: must be at least 1"),
        ("training.ema_decay: {low: 0, high: 0.9, log: true}", "low: 0: a logarithmic range begins over 0"),
        ("training.epochs: {scale: [-1, 2]}", "scale: -1: a factor is over 0"),
        ("training.epochs: 3", "3: give {low: 0.1, high: 1.0, log: true}"),
        ("data.days: [3, 5]", "a trial: data.days: 3 differs from 5 in the config"),
        ("- training.epochs", "a search space is a mapping of field paths, not list"),
    ],
)
def test_an_entry_that_cannot_be_searched_is_one_line_that_names_it(entry: str, reason: str, tmp_path: Path):
    file = tmp_path / "space.yaml"
    file.write_text(entry)
    space = Space(tiny_config(), (Dimension("training.epochs", "int", 1, 3),))
    with pytest.raises(ConfigError) as refused:
        read_space(space, file)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{file}: ")
    assert reason in line
