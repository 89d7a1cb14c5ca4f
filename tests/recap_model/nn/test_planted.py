"""Each architecture finds interactions that a logistic regression cannot."""

from functools import cache

import pytest

from tests.recap_model.models import section
from tests.recap_model.planted import fit_planted

MARGIN = 0.1  # nats of log loss; the constant prediction has 0.69
BLOCK = {"output_size": 16, "aggregation_size": 16}
TOP = {"layer_sizes": [16, 1]}
TOWERS = {
    "logistic regression": {"mlp_config": {"layer_sizes": [1]}},
    "mlp": {"mlp_config": {"layer_sizes": [32, 16, 1]}},
    "masknet parallel": {"mask_net_config": {"mask_blocks": [BLOCK] * 2, "use_parallel": True, "mlp": TOP}},
    "masknet stacked": {"mask_net_config": {"mask_blocks": [BLOCK] * 2, "use_parallel": False, "mlp": TOP}},
    "dcn": {"dcn_config": {"poly_degree": 2, "parallel_mlp": {"layer_sizes": [8]}, "output_mlp": TOP}},
    "dcn of low rank": {"dcn_config": {"poly_degree": 2, "projection_dim": 3, "output_mlp": TOP}},
    "dlrm": {"dlrm_config": {"bottom_mlp": {"layer_sizes": [32, 4]}, "top_mlp": {"layer_sizes": [32, 1]}}},
}


@cache
def loss_of(tower: str) -> float:
    config = section(
        multi_task_type="share_none",
        backbone=None,
        featurization_config={"log1p_abs_config": {}},
        tasks=dict.fromkeys(("like", "reply"), TOWERS[tower]),
        small_embeddings=None,
        position_debias_config=None,
    )
    return fit_planted(config, {"continuous": 8, "user_embedding": 4}).loss


@pytest.mark.parametrize("tower", [name for name in TOWERS if name != "logistic regression"])
def test_an_architecture_beats_logistic_regression_on_planted_interactions(tower):
    assert loss_of(tower) < loss_of("logistic regression") - MARGIN
