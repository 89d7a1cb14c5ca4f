"""Weights of the tasks' losses."""

import pytest
import torch
from torch import nn

from recap_model import build_loss, build_optimizer, create_ranking_model
from recap_model.config import parse_config
from recap_model.config.model.optimizer import OptimizerConfig
from recap_model.task_weighting import FixedWeights, GradientWeights, UncertaintyWeights
from tests.recap_model.models import MLP, WIDTHS, batch, section
from tests.tiny import tiny_config

LOSSES = torch.tensor([0.5, 0.1, 2.0])
KINDS = {
    "share_all": {},
    "mmoe": {"multi_task_type": "mmoe", "backbone": None, "mmoe": {"expert": MLP, "num_experts": 3}},
    "ple": {"multi_task_type": "ple", "backbone": None, "ple": {"expert": MLP, "levels": 2}},
}


def module_of(weighting: str, **fields):
    torch.manual_seed(0)
    config = section(loss={"task_weighting": weighting}, **fields)
    return create_ranking_model(WIDTHS, config, "cpu", build_loss(config))


def test_fixed_weights_multiply_the_losses_that_they_name():
    config = section(loss={"task_weights": {"reply": 3.0}})
    loss, outputs = create_ranking_model(WIDTHS, config, "cpu", build_loss(config))(batch())
    torch.testing.assert_close(loss, (outputs["loss/like"] + 3 * outputs["loss/reply"]) / 2)
    assert FixedWeights([1.0, 2.0, 0.5])(LOSSES, None).tolist() == pytest.approx([0.5, 0.2, 1.0])


def test_uncertainty_settles_where_the_variance_is_twice_the_loss():
    weighting = UncertaintyWeights(3)
    optimizer = torch.optim.LBFGS(weighting.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def step():
        optimizer.zero_grad()
        total = weighting(LOSSES, None).sum()
        total.backward()
        return total

    optimizer.step(step)
    torch.testing.assert_close(weighting.log_variances.exp(), 2 * LOSSES, rtol=1e-3, atol=1e-4)


def test_uncertainties_are_trained_with_what_the_towers_share():
    module = module_of("uncertainty")
    rate = {"single_task_learning_rate": {"constant": 0.01}}
    optimizer = build_optimizer(module, OptimizerConfig(**rate))
    before = module.loss_fn.task_weighting.log_variances.detach().clone()
    module(batch())[0].backward()
    optimizer.step()
    assert (module.loss_fn.task_weighting.log_variances != before).all()
    shared = next(group for group in optimizer.param_groups if group["task"] is None)
    assert any(parameter is module.loss_fn.task_weighting.log_variances for parameter in shared["params"])


def test_gradients_of_one_size_make_the_same_weights_and_a_large_one_is_brought_down():
    shared = torch.randn(4, 3, requires_grad=True)
    same = GradientWeights(2)
    torch.testing.assert_close(
        same(torch.stack([shared.sum(), -shared.sum()]), shared).sum(), torch.tensor(0.0)
    )
    weighting = GradientWeights(2)
    losses = torch.stack([shared.sum(), 10 * shared.sum()])
    first, second = (
        torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in weighting(losses, shared)
    )
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, torch.full_like(first, 5.5))


def test_sizes_are_a_moving_average_of_training_steps_alone():
    weighting = GradientWeights(1, decay=0.75)
    shared = torch.ones(4, requires_grad=True)
    for scale in (1.0, 3.0):
        weighting((scale * shared).sum()[None], shared)
    expected = 0.75 * 2.0 + 0.25 * 6.0
    assert weighting.sizes.item() == pytest.approx(expected)
    weighting.eval()((9 * shared).sum()[None], shared)
    assert weighting.sizes.item() == pytest.approx(expected)


def test_a_task_without_labels_leaves_the_weights_of_the_others():
    shared = torch.ones(4, requires_grad=True)
    weighting = GradientWeights(2)
    losses = torch.stack([shared.sum(), 0.0 * shared.sum()])
    assert weighting(losses, shared).tolist() == losses.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_sharing_gives_gradients_to_balance(kind):
    module = module_of("gradient", **KINDS[kind]).train()
    loss, _ = module(batch())
    loss.backward()
    assert (module.loss_fn.task_weighting.sizes > 0).all()
    assert all(parameter.grad is not None for parameter in module.model.net.towers.parameters())


def test_balanced_tasks_learn_a_rare_task_better_than_equal_weights_do():
    """Two tasks on one hidden unit, one with a loss a hundred times the other's: the small one is not drowned."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(512, 2, generator=random)

    def small_loss(weighting: nn.Module | None) -> float:
        torch.manual_seed(1)
        hidden, heads = nn.Linear(2, 1), nn.Linear(1, 2)
        optimizer = torch.optim.SGD([*hidden.parameters(), *heads.parameters()], lr=0.05)
        for _ in range(300):
            shared = hidden(x)
            errors = (heads(shared) - x).square().mean(dim=0) * torch.tensor([100.0, 1.0]) / 100
            counted = errors if weighting is None else weighting(errors, shared)
            optimizer.zero_grad()
            counted.sum().backward()
            optimizer.step()
        return errors[1].item()

    assert small_loss(GradientWeights(2)) < 0.9 * small_loss(None)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"loss": {"task_weighting": "gradient"}, "multi_task_type": "share_none", "backbone": None},
            "gradient: share_none",
        ),
        (
            {"loss": {"task_weighting": "uncertainty", "task_weights": {"like": 2.0}}},
            "uncertainty finds its own",
        ),
        ({"loss": {"task_weighting": "uncertainty", "task_reduction": "max"}}, "use mean or sum"),
        ({"loss": {"task_weights": {"share": 2.0}}}, "model.loss.task_weights: unknown task 'share'"),
        ({"loss": {"task_weights": {"like": 0.0}}}, "model.loss.task_weights.like: 0.0"),
    ],
)
def test_weights_that_cannot_be_are_refused(model, message):
    content = tiny_config().model_dump()
    with pytest.raises(ValueError, match=message):
        parse_config(content | {"model": content["model"] | model})
