"""Published weights: errors name everything that does not fit."""

import pytest
import torch

from recap_model import create_ranking_model
from recap_model.config.model.architectures import MlpConfig
from recap_model.model.published_weights import load_published_state_dict
from recap_model.nn import Mlp
from tests.recap_model.models import TOWER, WIDTHS, section

MLP = MlpConfig(layer_sizes=[4, 1])


def published_mlp() -> dict[str, torch.Tensor]:
    return {
        "layers.0.weight": torch.ones(4, 3),
        "layers.0.bias": torch.ones(4),
        "layers.2.weight": torch.ones(1, 4),
        "layers.2.bias": torch.ones(1),
    }


def test_all_that_does_not_fit_is_named_at_once_and_nothing_is_loaded():
    net = Mlp(MLP, 3)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = published_mlp() | {"layers.9.bias": torch.ones(1), "layers.0.weight": torch.ones(4, 5)}
    del state["layers.2.bias"]
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is taken apart below
        load_published_state_dict(net, state)
    for part in (
        "missing: layers.2.bias",
        "unexpected: layers.9.bias",
        "wrong shape: layers.0.weight is (4, 5), not (4, 3)",
    ):
        assert part in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("prefix", ["model.", "module.", "module.model."])
def test_prefixes_of_wrapping_modules_are_taken_off(prefix):
    net = Mlp(MLP, 3)
    load_published_state_dict(net, {prefix + name: tensor for name, tensor in published_mlp().items()})
    assert net.layers[0].weight.unique().tolist() == [1.0]


def plain_model(clip: float = 5.0):
    config = section(
        multi_task_type="share_none",
        backbone=None,
        featurization_config={"double_norm_log_config": {"clip_magnitude": clip}},
        tasks={"recap.like": TOWER, "type": TOWER},
        small_embeddings=None,
        position_debias_config=None,
    )
    return create_ranking_model({"continuous": WIDTHS["continuous"]}, config, "cpu")


def published_model(clip: float) -> dict[str, torch.Tensor]:
    state = {
        "_preprocessor._before_concat_layers.2.min_value": torch.tensor(-clip),
        "_preprocessor._before_concat_layers.2.max_value": torch.tensor(clip),
    }
    for number, task in enumerate(("recap__like", "type")):
        tower = {
            "0.weight": torch.ones(4, 3),
            "0.bias": torch.ones(4),
            "1.running_mean": torch.ones(4),
            "1.running_var": torch.ones(4),
            "1.num_batches_tracked": torch.tensor(3),
            "3.weight": torch.ones(1, 4),
            "3.bias": torch.ones(1),
        }
        state |= {f"_towers.{task}.layers.{name}": tensor for name, tensor in tower.items()}
        state[f"_calibrators.{task}.ratio"] = torch.tensor(0.5 / (number + 1))
    return state


def test_sampling_ratios_come_along():
    model = plain_model()
    load_published_state_dict(model, published_model(clip=5.0))
    assert model.sampling.ratio.tolist() == [0.5, 0.25]


def test_weights_for_another_clip_are_refused():
    with pytest.raises(ValueError, match=r"other clip: .*min_value is -5, the config's is -2"):
        load_published_state_dict(plain_model(clip=2.0), published_model(clip=5.0))


def test_a_ratio_for_some_tasks_only_is_missing_for_the_others():
    state = published_model(clip=5.0)
    del state["_calibrators.type.ratio"]
    with pytest.raises(ValueError, match=r"missing: _calibrators\.type\.ratio$"):
        load_published_state_dict(plain_model(), state)
