"""Experts and gates, and that they help where tasks conflict."""

from functools import cache

import pytest
import torch

from recap_model.config.model.architectures import BackboneConfig
from recap_model.nn import Experts, Gate
from recap_model.nn.towers.ple import PleLevel
from tests.recap_model.models import section
from tests.recap_model.planted import fit_planted, hidden_layers

EXPERT = BackboneConfig(mlp_config={"layer_sizes": [4]})


def test_a_gate_mixes_experts_by_a_softmax():
    gate = Gate(in_features=2, experts=3)
    x, experts = torch.randn(5, 2), [torch.randn(5, 4) for _ in range(3)]
    shares = torch.softmax(x @ gate.weight.weight.T, dim=1)
    expected = sum(shares[:, number, None] * expert for number, expert in enumerate(experts))
    torch.testing.assert_close(gate(x, torch.stack(experts, dim=1)), expected)


def test_gradients_of_a_gate():
    gate = Gate(2, 2).double()
    tensors = [torch.randn(3, *shape, dtype=torch.float64, requires_grad=True) for shape in ((2,), (2, 4))]
    assert torch.autograd.gradcheck(gate, tensors)


def test_experts_start_different():
    first, second = Experts(EXPERT, 2, 3)(torch.randn(5, 3)).unbind(dim=1)
    assert not torch.allclose(first, second)


def test_a_task_never_sees_the_experts_of_another():
    level = PleLevel(EXPERT, ["like", "reply"], 3, task_experts=2, shared_experts=1, last=True)
    x = torch.randn(5, 3)
    outputs, _, _ = level({"like": x, "reply": x}, x)
    outputs["like"].sum().backward()
    assert all(parameter.grad is None for parameter in level.task_experts["reply"].parameters())
    assert all(parameter.grad is not None for parameter in level.task_experts["like"].parameters())


@cache
def loss_of(kind: str) -> float:
    """Mean of three seeds; every kind has about 600 parameters."""
    config = section(
        featurization_config={"log1p_abs_config": {}},
        tasks={key: {"mlp_config": {"layer_sizes": [1]}} for key in ("like", "reply")},
        small_embeddings=None,
        position_debias_config=None,
        multi_task_type=kind,
        backbone=hidden_layers(26, 12) if kind == "share_all" else None,
        mmoe={"expert": hidden_layers(12, 6), "num_experts": 3} if kind == "mmoe" else None,
        ple={"expert": hidden_layers(12, 6)} if kind == "ple" else None,
    )
    fits = [fit_planted(config, {"continuous": 8}, seed) for seed in range(3)]
    assert all(550 < fit.parameters < 650 for fit in fits)
    return sum(fit.loss for fit in fits) / len(fits)


@pytest.mark.parametrize("kind", ["mmoe", "ple"])
def test_experts_beat_one_backbone_on_tasks_that_conflict(kind):
    assert loss_of(kind) < loss_of("share_all") - 0.001
