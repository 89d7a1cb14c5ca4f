"""The config's model and optimizer sections: what is refused, and where the error points."""

from typing import Any

import pytest

from recap_model.config import ConfigError, parse_config
from recap_model.config.model.architectures import ArchitectureConfig
from recap_model.config.model.network import ModelConfig
from recap_model.config.steps.evaluation import GateConfig
from tests.recap_model.models import TOWER, section
from tests.tiny import tiny_config

PLAIN = {"featurization_config": {"log1p_abs_config": {}}, "multi_task_type": "share_none"}


def changed(**model: Any) -> dict[str, Any]:
    content = tiny_config().model_dump(mode="json", exclude_unset=True)
    content["model"] = PLAIN | {"tower": TOWER} | model
    return content


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"tower": {"mlp_config": {"layer_sizes": [4, 2]}}},
            "model.tower.mlp_config.layer_sizes: a tower ends in 1 unit",
        ),
        (
            {"tower": TOWER | {"dcn_config": {"poly_degree": 1}}},
            "model.tower: exactly one of .* got mlp_config, dcn_config",
        ),
        (
            {"tower": {"dcn_config": {"poly_degree": 1}}},
            "model.tower.dcn_config.output_mlp: a tower ends in 1 unit",
        ),
        ({"backbone": {"mlp_config": {"layer_sizes": [3]}}}, "model.backbone: share_none has none"),
        ({"multi_task_type": "share_all"}, "model.backbone: needed by multi_task_type share_all"),
        ({"multi_task_type": "mmoe"}, "model.mmoe: needed by multi_task_type mmoe"),
        ({"ple": {"expert": {"mlp_config": {"layer_sizes": [3]}}}}, "model.ple: share_none has none"),
        ({"multi_task_type": "share"}, "model.multi_task_type: 'share'"),
        ({"tasks": {"like": {"mlp_confg": {}}}}, "model.tasks.like.mlp_confg"),
        ({"tasks": {"a__b": TOWER}}, "model.tasks.a__b: .*has no '__'"),
        (
            {"tower": {"mlp_config": {"layer_sizes": [4, 1], "dropout": {"rate": 3.0}}}},
            "model.tower.mlp_config.dropout.rate: 3.0",
        ),
        (
            {"position_debias_config": {"position_feature_index": 2}},
            "position_feature_index: 2: features.discrete has 2",
        ),
        (
            {"stratifiers": [{"name": "x", "index": 5, "value": 1}]},
            "model.stratifiers.0.index: 5: features.discrete",
        ),
        (
            {"stratifiers": [{"name": "x", "index": 0, "value": v} for v in (1, 2)]},
            "the name 'x' is given twice",
        ),
        (
            {
                "small_embeddings": {
                    "tables": [{"name": "t", "num_embeddings": 2, "embedding_dim": 1, "index": 2}]
                }
            },
            "model.small_embeddings.tables.0.index: 2: features.discrete has 2 columns",
        ),
        (
            {
                "small_embeddings": {
                    "tables": [
                        {"name": "t", "num_embeddings": 1, "embedding_dim": 1, "index": 0, "min_count": 1}
                    ]
                }
            },
            "num_embeddings: a table with min_count needs 2",
        ),
        (
            {
                "small_embeddings": {
                    "tables": [
                        {
                            "name": "t",
                            "num_embeddings": 9,
                            "embedding_dim": 1,
                            "index": 0,
                            "min_count": 1,
                            "hash": True,
                        }
                    ]
                }
            },
            "min_count and hash: a table finds its ids in one way",
        ),
        (
            {
                "large_embeddings": {
                    "tables": [
                        {
                            "name": "t",
                            "num_embeddings": 9,
                            "embedding_dim": 1,
                            "pretrained": "x.npy",
                            "hash": True,
                        }
                    ]
                }
            },
            "pretrained: values at the start belong to ids",
        ),
        ({"featurization_config": {}}, "model.featurization_config: exactly one of"),
        (
            {"featurization_config": {"log1p_abs_config": {}, "feature_names_to_concat": ["binry"]}},
            "feature_names_to_concat.0: 'binry'",
        ),
        (
            {
                "featurization_config": {
                    "double_norm_log_config": {"layer_norm_config": {"center": True, "scale": False}}
                }
            },
            "center must equal scale",
        ),
    ],
)
def test_what_the_model_section_refuses(model, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(changed(**model))


def test_all_errors_come_at_once():
    content = changed(
        featurization_config={"double_norm_log_config": {"clip_magnitude": -1}},
        tasks={"like": {"mlp_config": {"layer_sizes": []}}},
        position_debias_config={"position_feature_index": 0, "drop_probability": 2.0},
    )
    content["optimizer"] = {"adam": {"beta_1": 1.0}}
    with pytest.raises(ConfigError) as error:
        parse_config(content)
    text = str(error.value)
    for path in (
        "model.featurization_config.double_norm_log_config.clip_magnitude",
        "model.tasks.like.mlp_config.layer_sizes",
        "model.position_debias_config.drop_probability",
        "optimizer.adam.beta_1",
    ):
        assert path in text


def test_nulls_of_a_published_config_are_accepted():
    nothing = dict.fromkeys(("dcn_config", "dlrm_config", "mask_net_config", "affine_map"))
    mlp = {"layer_sizes": [4, 1], "batch_norm": None, "dropout": None, "final_layer_activation": False}
    config = ModelConfig(
        **PLAIN,
        tasks={"like": {**nothing, "mlp_config": mlp, "pos_weight": 1.0}},
        backbone=None,
        large_embeddings=None,
        small_embeddings=None,
        position_debias_config=None,
        stratifiers=None,
    )
    assert config.tasks["like"].mlp_config.layer_sizes == [4, 1]


def test_dlrm_is_for_all_towers_or_none():
    dlrm = {"dlrm_config": {"bottom_mlp": {"layer_sizes": [4]}, "top_mlp": {"layer_sizes": [1]}}}
    nothing_shared = {"multi_task_type": "share_none", "backbone": None}
    with pytest.raises(ValueError, match=r"tasks\.reply: needs dlrm_config as tasks\.like has one"):
        section(**nothing_shared, tasks={"like": dlrm, "reply": TOWER})
    with pytest.raises(
        ValueError, match="multi_task_type: share_all: towers with dlrm_config need share_none"
    ):
        section(tasks={"like": dlrm})


def test_every_tower_and_what_they_share_has_a_rate():
    content = tiny_config().model_dump(mode="json", exclude_unset=True)
    rates = {"tower_learning_rates": {"like": {"constant": 0.1}, "share": {"constant": 0.1}}}
    content["optimizer"] = {"multi_task_learning_rates": rates}
    with pytest.raises(ConfigError) as error:
        parse_config(content)
    where = "optimizer.multi_task_learning_rates"
    for problem in (
        f"{where}.tower_learning_rates: unknown task 'share'",
        f"{where}.tower_learning_rates: no rate for reply",
        f"{where}.backbone_learning_rate: needed by multi_task_type share_all",
    ):
        assert problem in str(error.value)


def test_a_null_is_as_if_the_field_were_not_given_unless_null_is_a_value():
    architecture = {
        "mlp_config": {"layer_sizes": [1], "final_layer_activation": None, "dropout": None},
        "pos_weight": None,
    }
    tower = ArchitectureConfig.model_validate(architecture)
    assert tower == ArchitectureConfig.model_validate({"mlp_config": {"layer_sizes": [1]}})
    assert GateConfig.model_validate({"max_score_psi": None}).max_score_psi is None
    with pytest.raises(ValueError, match=r"layer_sizes\n  Field required"):
        ArchitectureConfig.model_validate({"mlp_config": {"layer_sizes": None}})
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        ArchitectureConfig.model_validate({"mlp_config": {"layer_sizes": [1]}, "width": None})
