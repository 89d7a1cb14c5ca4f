"""Models on disk."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import recap_model
from recap_model import create_ranking_model, load_model, save_model
from recap_model.data.dataset.statistics import FeatureStatistics
from tests.recap_model.models import TABLES, WIDTHS, batch, section
from tests.tiny import tiny_config


def saved(folder):
    config = tiny_config()
    model = create_ranking_model(recap_model.data_spec(config), config, "cpu").eval()
    save_model(model, folder, config)
    return model, config


def test_a_loaded_model_gives_the_same_numbers_and_knows_its_config(tmp_path):
    model, config = saved(tmp_path)
    loaded = load_model(tmp_path)
    rows = batch(user_eng_embedding=None, author_embedding=None)
    assert not loaded.training
    assert loaded.config == config
    assert all(torch.equal(tensor, model(rows)[name]) for name, tensor in loaded(rows).items())


def test_a_model_section_with_fitted_buffers_comes_back(tmp_path):
    config = section(
        featurization_config={"z_score_log_config": {}},
        small_embeddings={"tables": [{**TABLES["tables"][0], "min_count": 1}]},
    )
    rates = {task: {"neg_downsampling_rate": 0.1} for task in ("like", "reply")}
    statistics = FeatureStatistics(log_mean=[1.0] * 3, log_std=[2.0] * 3, vocabularies={"1": {3: 9, 7: 2}})
    model = create_ranking_model(WIDTHS, config, "cpu", data_config=rates, statistics=statistics).eval()
    save_model(model, tmp_path, config)
    loaded = load_model(tmp_path)
    assert loaded.config == config
    for name, tensor in model(batch()).items():
        assert torch.equal(tensor, load_model(tmp_path)(batch())[name]), name


def test_saving_twice_writes_the_same_bytes(tmp_path):
    model, config = saved(tmp_path / "a")
    save_model(model, tmp_path / "b", config)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_another_configs_tasks_are_refused(tmp_path):
    model, _ = saved(tmp_path)
    with pytest.raises(ValueError, match="its tasks are reply, like; the model's are like, reply"):
        save_model(model, tmp_path, tiny_config(tasks={"reply": {}, "like": {}}))


@pytest.mark.parametrize("name", ["config.json", "data_spec.json", "weights.safetensors", "calibration.json"])
def test_a_missing_file_is_named(tmp_path, name):
    saved(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.safetensors", "no", "truncated or not safetensors"),
        ("config.json", "{", "not what save_model writes"),
        ("data_spec.json", "[1]", "not what save_model writes"),
        ("data_spec.json", '{"continuous": "x"}', "not what save_model writes"),
        ("config.json", '{"tasks": 3}', "config.json"),
    ],
)
def test_a_broken_file_is_named(tmp_path, name, content, message):
    saved(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        load_model(tmp_path)
    assert name in str(error.value)


def test_weights_of_another_model_are_refused(tmp_path):
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model"]["backbone"]["mlp_config"]["layer_sizes"] = [12]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"of another model .* has shape"):
        load_model(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    model, _ = saved(tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    name = next(name for name, _ in model.named_parameters())
    weights[name].view(-1)[0] = value
    save_file(weights, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=rf"weights\.safetensors: {name}: values that are not finite; train"):
        load_model(tmp_path)


def test_weights_of_whole_numbers_are_not_taken_for_weights(tmp_path):
    saved(tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    name = next(name for name, tensor in weights.items() if tensor.is_floating_point())
    weights[name] = weights[name].view(torch.int32)
    save_file(weights, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=r"of another model .* has type torch.int32, not torch.float32"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_spec.json", '{"continuous": 1180591620717411303424}', "has other groups or widths than config.json"),
        ("calibration.json", '{"like": 5}', "calibration.json: not what save_model writes: 'int' object is not"),
        ("calibration.json", '{"like": {"kind": "step"}}', "calibration.json: .*kinds: affine, .*"),
        ("calibration.json", "[]", "calibration.json: not what save_model writes"),
        ("calibration.json", "[" * 100_000, "calibration.json: not what save_model writes"),
    ],
)  # fmt: skip
def test_a_file_of_another_content_is_one_line(tmp_path, name, content, message):
    saved(tmp_path)
    load_model(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_bare_model_wider_than_any_memory_is_refused(tmp_path):
    config = section()
    save_model(create_ranking_model(WIDTHS, config, "cpu"), tmp_path, config)
    (tmp_path / "data_spec.json").write_text(json.dumps(WIDTHS | {"continuous": 10**30}))
    with pytest.raises(
        ValueError, match=r"config\.json and data_spec\.json describe no model that can be built"
    ):
        load_model(tmp_path)
