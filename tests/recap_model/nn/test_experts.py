"""Experts and gates, and that they help where tasks conflict."""

from functools import cache
from typing import Any

import pytest
import torch

from recap_model import build_loss, create_ranking_model
from recap_model.config.architectures import BackboneConfig
from recap_model.data.batch import RecapBatch
from recap_model.nn import Experts, Gate
from recap_model.nn.experts import PleLevel
from tests.recap_model.models import section

EXPERT = BackboneConfig(mlp_config={"layer_sizes": [4]})


def test_a_gate_mixes_experts_by_a_softmax():
    gate = Gate(in_features=2, experts=3)
    x, experts = torch.randn(5, 2), [torch.randn(5, 4) for _ in range(3)]
    shares = torch.softmax(x @ gate.weight.weight.T, dim=1)
    expected = sum(shares[:, number, None] * expert for number, expert in enumerate(experts))
    torch.testing.assert_close(gate(x, experts), expected)


def test_gradients_of_a_gate():
    gate = Gate(2, 2).double()
    tensors = [torch.randn(3, width, dtype=torch.float64, requires_grad=True) for width in (2, 4, 4)]
    assert torch.autograd.gradcheck(lambda x, one, two: gate(x, [one, two]), tensors)


def test_experts_start_different():
    first, second = Experts(EXPERT, 2, 3)(torch.randn(5, 3))
    assert not torch.allclose(first, second)


def test_a_task_never_sees_the_experts_of_another():
    level = PleLevel(EXPERT, ["like", "reply"], 3, task_experts=2, shared_experts=1, last=True)
    x = torch.randn(5, 3)
    outputs, _ = level({"like": x, "reply": x}, x)
    outputs["like"].sum().backward()
    assert all(parameter.grad is None for parameter in level.task_experts["reply"].parameters())
    assert all(parameter.grad is not None for parameter in level.task_experts["like"].parameters())


def conflicting_rows(count: int, seed: int) -> RecapBatch:
    """Two tasks that want opposite things of the same products of inputs."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 8, generator=random)
    signal = 2.0 * (x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3])
    other = 2.0 * (x[:, 4] * x[:, 5] - x[:, 2] * x[:, 3])
    logits = torch.stack([signal, other], dim=1)
    labels = (torch.rand(count, 2, generator=random) < torch.sigmoid(logits)).float()
    return RecapBatch(continuous=x, labels=labels)


def mlp(*sizes: int) -> dict[str, Any]:
    return {"mlp_config": {"layer_sizes": list(sizes), "final_layer_activation": True}}


@cache
def loss_on_new_rows(kind: str) -> float:
    """Mean of three seeds after a short training; every kind has about 600 parameters."""
    config = section(
        featurization_config={"log1p_abs_config": {}},
        tasks={task: {"mlp_config": {"layer_sizes": [1]}} for task in ("like", "reply")},
        small_embeddings=None,
        position_debias_config=None,
        multi_task_type=kind,
        backbone=mlp(26, 12) if kind == "share_all" else None,
        mmoe={"expert": mlp(12, 6), "num_experts": 3} if kind == "mmoe" else None,
        ple={"expert": mlp(12, 6)} if kind == "ple" else None,
    )
    train, test = conflicting_rows(8192, seed=1), conflicting_rows(8192, seed=2)
    losses = []
    for seed in range(3):
        torch.manual_seed(seed)
        module = create_ranking_model({"continuous": 8}, config, "cpu", build_loss(config))
        assert 550 < sum(parameter.numel() for parameter in module.parameters()) < 650
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        for step in range(300):
            start = 512 * step % 8192
            optimizer.zero_grad()
            module(train[start : start + 512])[0].backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(module(test)[0].item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("kind", ["mmoe", "ple"])
def test_experts_beat_one_backbone_on_tasks_that_conflict(kind):
    assert loss_on_new_rows(kind) < loss_on_new_rows("share_all") - 0.0005
