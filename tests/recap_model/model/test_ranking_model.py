"""The ranking model: what it takes, what it returns, what it refuses."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import recap_model
from recap_model import EmbeddingRankingModel, MultiTaskRankingModel, create_ranking_model
from recap_model.config import ConfigError
from recap_model.data.dataset.manifest import Sampling
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.scoring import score_weights
from tests.recap_model.models import MLP, TABLES, TOWER, WIDTHS, batch, section
from tests.tiny import tiny_config

CONFIGS = Path(__file__).parents[3] / "pipeline" / "configs"
NONE = {"multi_task_type": "share_none", "backbone": None}
DLRM = {"dlrm_config": {"bottom_mlp": {"layer_sizes": [4]}, "top_mlp": {"layer_sizes": [3, 1]}}}
SECTIONS = {
    "share_none": section(**NONE),
    "share_all": section(),
    "share_partial": section(multi_task_type="share_partial"),
    "mmoe": section(multi_task_type="mmoe", backbone=None, mmoe={"expert": MLP, "num_experts": 3}),
    "ple": section(multi_task_type="ple", backbone=None, ple={"expert": MLP, "levels": 2}),
    "dlrm": section(**NONE, tasks={"like": DLRM, "reply": DLRM}),
    "one task": section(tasks={"like": TOWER}),
    "names of modules": section(tasks={"type": TOWER, "a.b": TOWER, "train": TOWER}),
    "affine map": section(tasks={"like": TOWER | {"affine_map": {"scale": 2.0}}, "reply": TOWER}),
}


def model(config=None, **arguments) -> MultiTaskRankingModel:
    torch.manual_seed(0)
    return create_ranking_model(WIDTHS, config or section(), "cpu", **arguments).eval()


@pytest.mark.parametrize("name", SECTIONS)
def test_every_kind_returns_a_column_for_each_task(name):
    config = SECTIONS[name]
    outputs = model(config)(batch(rows=7))
    for key in ("logits", "probabilities", "calibrated_probabilities"):
        assert outputs[key].shape == (7, len(config.tasks))
    assert outputs["score"].shape == (7,)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_trained_parameter_has_a_gradient(name):
    net = model(SECTIONS[name]).train()
    net(batch())["logits"].square().sum().backward()
    assert [key for key, parameter in net.named_parameters() if parameter.grad is None] == []


def test_dlrm_towers_make_an_embedding_ranking_model():
    assert isinstance(model(SECTIONS["dlrm"]), EmbeddingRankingModel)


def test_inputs_are_joined_in_the_published_order():
    net = model()
    rows = batch()
    joined = net.inputs(rows).joined()
    offset = 3 + 1
    topic = torch.where(rows.discrete[:, 1] < 5, rows.discrete[:, 1].clamp(min=0), 0)
    torch.testing.assert_close(
        joined[:, offset : offset + 2], net.inputs.small_embeddings.weight_of(0)[topic]
    )
    offset += 2
    for name in ("user_embedding", "user_eng_embedding", "author_embedding"):
        normed = nn.functional.layer_norm(getattr(rows, name), (WIDTHS[name],))
        torch.testing.assert_close(joined[:, offset : offset + WIDTHS[name]], normed)
        offset += WIDTHS[name]
    assert joined.shape[1] == offset + 3


def test_towers_of_share_partial_see_inputs_and_backbone():
    net = model(SECTIONS["share_partial"])
    widths = {tower.in_features for tower in net.net.towers.values()}
    assert widths == {net.inputs.out_features + net.net.backbone.out_features}


def test_columns_follow_the_order_of_a_whole_configs_tasks():
    config = tiny_config(tasks={"reply": {"score_weight": 10.0}, "like": {}})
    net = create_ranking_model(recap_model.data_spec(config), config, "cpu")
    assert net.tasks == ["reply", "like"]
    assert net.score_weights.tolist() == [10.0, 1.0]


def test_terms_of_the_score_are_products_of_probabilities_whose_weights_can_be_replaced(tmp_path: Path):
    config = tiny_config(score_terms={"both": {"weight": 3.0, "of": ["reply", "like"]}})
    net = create_ranking_model(recap_model.data_spec(config), config, "cpu").eval()
    recap_model.save_model(net, tmp_path / "model", config)
    loaded = recap_model.load_model(tmp_path / "model")
    rows = batch(user_eng_embedding=None, author_embedding=None)
    like, reply = loaded(rows)["calibrated_probabilities"].unbind(dim=1)
    torch.testing.assert_close(loaded(rows)["score"], like + 10.0 * reply + 3.0 * reply * like)
    weights = score_weights(loaded, {"both": -1.0, "like": 2.0})
    probabilities = torch.stack([like, reply], dim=1)
    torch.testing.assert_close(loaded.weigh(probabilities, weights), 2.0 * like + 10.0 * reply - reply * like)
    with pytest.raises(ValueError, match="unknown task 'x'; tasks: like, reply; terms: both"):
        score_weights(loaded, {"x": 1.0})


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (
            {"like": {"weight": 1, "of": ["like", "reply"]}},
            "score_terms.like: is a task too; rename the term",
        ),
        ({"t": {"weight": 1, "of": ["like", "x"]}}, "score_terms.t.of: unknown task 'x'; tasks: like, reply"),
        ({"t": {"weight": 1, "of": ["like", "like"]}}, "score_terms.t.of: like, like: a task is named twice"),
    ],
)
def test_a_term_of_the_score_that_cannot_be_is_refused(terms: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        tiny_config(score_terms=terms)


def test_the_score_is_the_weighted_sum_of_calibrated_probabilities():
    config = tiny_config()
    net = create_ranking_model(recap_model.data_spec(config), config, "cpu").eval()
    rows = batch(user_eng_embedding=None, author_embedding=None)
    outputs = net(rows)
    torch.testing.assert_close(
        outputs["score"], outputs["calibrated_probabilities"] @ torch.tensor([1.0, 10.0])
    )


def test_an_affine_map_scales_and_shifts_the_logit():
    plain, mapped = (
        model(section(tasks={"like": TOWER | extra, "reply": TOWER}))
        for extra in ({}, {"affine_map": {"scale": 1.5, "bias": -2.0}})
    )
    mapped.load_state_dict(
        plain.state_dict() | {k: v for k, v in mapped.state_dict().items() if "affine" in k}
    )
    expected = plain(batch())["logits"] * torch.tensor([1.5, 1.0]) + torch.tensor([-2.0, 0.0])
    torch.testing.assert_close(mapped(batch())["logits"], expected)


def test_the_backbone_is_returned_if_asked_for():
    assert model(return_backbone=True)(batch())["backbone"].shape == (7, 5)
    with pytest.raises(ValueError, match="share_none has no backbone"):
        model(SECTIONS["share_none"], return_backbone=True)


@pytest.mark.parametrize("group", ["continuous", "binary", "user_embedding", "author_embedding"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_never_reach_the_net(group, value):
    rows = batch()
    getattr(rows, group)[2, 0] = value
    assert all(tensor.isfinite().all() for tensor in model()(rows).values())
    zero = batch()
    getattr(zero, group)[2, 0] = 0.0
    torch.testing.assert_close(model()(rows)["logits"], model()(zero)["logits"])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"binary": None}, r"binary: missing in the batch; expected shape \(rows, 1\)"),
        ({"user_embedding": torch.zeros(7, 3)}, r"user_embedding: expected shape \(rows, 4\), got \(7, 3\)"),
        (
            {"continuous": [[1.0, 2.0, 3.0]]},
            r"continuous: expected shape \(rows, 3\), got a list that is no tensor",
        ),
        ({"continuous": torch.zeros(3)}, r"continuous: expected shape \(rows, 3\), got \(3,\)"),
        ({"binary": torch.zeros(6, 1)}, r"binary: expected shape \(7, 1\) as the other groups, got \(6, 1\)"),
        ({"discrete": torch.zeros(7, 2)}, r"discrete: expected shape \(rows, 2\) of int64, got float32"),
        ({"continuous": torch.zeros(7, 3, dtype=torch.int64)}, "continuous: .* of float32, .*, got int64"),
    ],
)
def test_a_group_that_does_not_fit_is_named(groups, message):
    with pytest.raises(ValueError, match=message):
        model()(batch(**groups))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_groups_may_be_stored_in_another_float(dtype):
    rows = batch(continuous=batch().continuous.to(dtype), binary=torch.ones(7, 1, dtype=torch.bool))
    assert model()(rows)["logits"].dtype == torch.float32


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"continuos": 3}, "data_spec: unknown group 'continuos'; groups: continuous"),
        ({"continuous": 0}, "data_spec: continuous: 0: give a width over 0"),
        ({"continuous": (3, None)}, r"data_spec: continuous: \(3, None\): give a width over 0"),
        (
            WIDTHS | {"discrete": 1},
            r"model.small_embeddings.tables.0.index: 1: the discrete group has 1 columns",
        ),
        ({"discrete": 2}, "no group that the model reads"),
    ],
)
def test_groups_that_the_model_cannot_be_built_for_are_refused(spec, message):
    config = (
        section()
        if spec.get("discrete") == 1
        else section(small_embeddings=None, position_debias_config=None)
    )
    with pytest.raises(ValueError, match=message):
        MultiTaskRankingModel(spec, config)


def test_a_groups_shape_may_stand_for_its_width():
    shapes = {name: torch.Size([1, width]) for name, width in WIDTHS.items()}
    assert create_ranking_model(shapes, section(), "cpu").data_spec == WIDTHS


RATES = {"like": {"pos_downsampling_rate": 0.5, "neg_downsampling_rate": 0.01}, "reply": {}}


def test_sampling_is_undone_by_the_rates_of_the_data_config():
    ratio = model(data_config=RATES).sampling.ratio
    torch.testing.assert_close(ratio, torch.tensor([0.02, 1.0]))
    with pytest.raises(ValueError, match="data_config: no sampling rates for reply"):
        model(data_config={"like": RATES["like"]})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"neg": 0.1},
            r"data_config.like: {'neg': 0.1} has no pos_downsampling_rate and no neg_downsampling_rate",
        ),
        (0.1, "data_config.like: 0.1 has no pos_downsampling_rate"),
        (
            {"neg_downsampling_rate": 0},
            "data_config.like.neg_downsampling_rate: 0: a sampling rate is over 0",
        ),
    ],
)
def test_a_rate_that_would_not_be_undone_is_refused(entry, message):
    with pytest.raises(ValueError, match=message):
        model(data_config={"like": entry, "reply": {}})


def test_a_config_that_is_not_read_yet_is_refused():
    with pytest.raises(ValueError, match="config: dict; give a RecapConfig, or its model section"):
        create_ranking_model(WIDTHS, section().model_dump(), "cpu")


@pytest.mark.parametrize(("correction", "expected"), [("weights", 1.0), ("calibration", 0.1)])
def test_a_whole_configs_rates_are_undone_in_one_place_only(correction, expected):
    tasks = {"like": {"neg_downsampling_rate": 0.1}, "reply": {}}
    config = tiny_config(tasks=tasks, data={"days": 5, "sampling_correction": correction})
    net = create_ranking_model(recap_model.data_spec(config), config, "cpu")
    torch.testing.assert_close(net.sampling.ratio, torch.tensor([expected, 1.0]))


def test_measured_sampling_takes_the_place_of_configured():
    net = model(data_config=RATES)
    net.set_sampling({"reply": Sampling(positive_rate=1.0, negative_rate=0.25)})
    torch.testing.assert_close(net.sampling.ratio, torch.tensor([0.02, 0.25]))
    with pytest.raises(ValueError, match="sampling: unknown task 'share'; tasks: like, reply"):
        net.set_sampling({"share": Sampling()})


class Double(nn.Module):
    def forward(self, logits):
        return 2 * logits


def test_a_calibrator_works_on_the_logit_behind_the_sampling():
    net = model(data_config=RATES)
    net.set_calibrators({"reply": Double(), "like": Double()})
    outputs = net(batch())
    shifted = outputs["logits"] + torch.tensor([0.02, 1.0]).log()
    torch.testing.assert_close(outputs["calibrated_probabilities"], torch.sigmoid(2 * shifted))
    net.set_calibrators({"reply": Double()})
    calibrated = net(batch())["calibrated_probabilities"]
    torch.testing.assert_close(calibrated[:, 0], torch.sigmoid(shifted[:, 0]))
    with pytest.raises(ValueError, match="calibrators: unknown task 'share'"):
        net.set_calibrators({"share": Double()})


def test_statistics_fill_vocabularies_by_the_names_of_a_whole_configs_columns():
    table = {**TABLES["tables"][0], "min_count": 2}
    tower = {"tower": TOWER, **NONE, "featurization_config": {"log1p_abs_config": {}}}
    config = tiny_config(model=tower | {"small_embeddings": {"tables": [table]}})
    statistics = FeatureStatistics(vocabularies={"topic": {3: 9}})
    net = create_ranking_model(recap_model.data_spec(config), config, "cpu", statistics=statistics)
    assert net.inputs.small_embeddings.vocabularies["0"].ids[0] == 3


def test_under_autocast_what_is_returned_keeps_full_precision():
    for name in ("share_all", "affine map"):
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model(SECTIONS[name])(batch())
        assert {tensor.dtype for tensor in outputs.values()} == {torch.float32}


def test_a_conditional_task_is_multiplied_by_the_task_it_is_given():
    plain, chained = (
        create_ranking_model(recap_model.data_spec(config), config, "cpu").eval()
        for config in (tiny_config(), tiny_config(tasks={"like": {}, "reply": {"given": "like"}}))
    )
    chained.load_state_dict(plain.state_dict() | {"score_weights": chained.score_weights})
    rows = batch(user_eng_embedding=None, author_embedding=None)
    apart, both = plain(rows)["probabilities"], chained(rows)["probabilities"]
    torch.testing.assert_close(both, torch.stack([apart[:, 0], apart.prod(dim=1)], dim=1))


def test_position_has_no_influence_in_serving():
    near, far = batch(), batch()
    far.discrete[:, 0] = 8
    torch.testing.assert_close(model()(near)["logits"], model()(far)["logits"])


def test_the_published_configuration_has_48_115_108_parameters():
    config = recap_model.load_config(CONFIGS / "heavy_ranker.yaml")
    with torch.device("meta"):
        net = MultiTaskRankingModel(recap_model.data_spec(config), config)
    assert sum(parameter.numel() for parameter in net.parameters()) == 48_115_108
    assert len(net.tasks) == 10
    assert net.inputs.out_features == 2776
