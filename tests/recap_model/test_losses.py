"""Losses of many tasks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from recap_model import MultiTaskLoss, build_loss
from recap_model.losses import weighted_bce
from tests.recap_model.models import TOWER, section

NAN = float("nan")
LOGITS = torch.tensor([[0.3, -2.0], [1.5, 0.0], [-0.7, 4.0], [0.0, 1.0]])
LABELS = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
WEIGHTS = torch.tensor([[1.0, 10.0], [2.0, 1.0], [0.5, 1.0], [1.0, 3.0]])


def sklearn_loss(task: int, weights: torch.Tensor, rows: slice = slice(None)) -> float:
    """The weighted mean, normalised by the weights."""
    probabilities = torch.sigmoid(LOGITS[rows, task].double()).numpy()
    return log_loss(LABELS[rows, task], probabilities, sample_weight=weights[rows, task], labels=[0, 1])


def test_the_normalised_loss_is_the_weighted_log_loss():
    losses = weighted_bce(LOGITS, LABELS, WEIGHTS, normalise=True)
    assert losses.tolist() == pytest.approx([sklearn_loss(task, WEIGHTS) for task in (0, 1)], rel=1e-5)


def test_the_published_loss_is_the_plain_mean_of_weighted_losses():
    losses = weighted_bce(LOGITS, LABELS, WEIGHTS)
    expected = [sklearn_loss(task, WEIGHTS) * WEIGHTS[:, task].mean().item() for task in (0, 1)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)


@given(st.floats(1e-3, 1e3))
def test_scaling_all_weights_leaves_the_normalised_loss(scale):
    plain = weighted_bce(LOGITS, LABELS, WEIGHTS, normalise=True)
    torch.testing.assert_close(weighted_bce(LOGITS, LABELS, WEIGHTS * scale, normalise=True), plain)


@pytest.mark.parametrize("normalise", [False, True])
def test_a_missing_label_is_as_if_the_row_were_not_there(normalise):
    labels = LABELS.clone()
    labels[0, 0] = NAN
    losses = weighted_bce(LOGITS, labels, WEIGHTS, normalise=normalise)
    without = weighted_bce(LOGITS[1:], LABELS[1:], WEIGHTS[1:], normalise=normalise)
    assert losses[0] == pytest.approx(without[0].item())
    assert losses[1] == weighted_bce(LOGITS, LABELS, WEIGHTS, normalise=normalise)[1]


@pytest.mark.parametrize("normalise", [False, True])
def test_a_task_without_a_label_has_no_loss_and_no_gradient(normalise):
    logits = LOGITS.clone().requires_grad_()
    labels = torch.stack([torch.full((4,), NAN), LABELS[:, 1]], dim=1)
    losses = weighted_bce(logits, labels, WEIGHTS, normalise=normalise)
    losses.sum().backward()
    assert losses[0] == 0
    assert not logits.grad[:, 0].any()
    assert logits.grad.isfinite().all()


def test_pos_weight_counts_positives_more():
    """A positive of weight 3 is as three rows of weight 1."""
    double = torch.tensor([1.0, 3.0])
    repeated = torch.where(LABELS[:, 1] == 1, 3.0, 1.0)[:, None].expand(4, 2)
    torch.testing.assert_close(
        weighted_bce(LOGITS, LABELS, pos_weights=double)[1], weighted_bce(LOGITS, LABELS, repeated)[1]
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "min", "max", "median"])
def test_tasks_are_reduced_as_numpy_does(reduction):
    logits, labels = LOGITS.repeat(1, 2)[:, :3], LABELS.repeat(1, 2)[:, :3]
    scale = torch.tensor([1.0, 2.0, 5.0]).expand(4, 3)
    loss, losses = MultiTaskLoss([1.0] * 3, reduction)(logits, labels, scale)
    assert loss.item() == pytest.approx(getattr(np, reduction)(losses.numpy()))


def test_a_config_has_its_loss():
    tasks = {"like": TOWER | {"pos_weight": 2.0}, "reply": TOWER}
    loss = build_loss(section(tasks=tasks, loss={"normalise": True, "task_reduction": "sum"}))
    assert loss.pos_weights.tolist() == [2.0, 1.0]
    assert (loss.normalise, loss.reduction) == (True, "sum")


@pytest.mark.parametrize(("labels", "weights"), [((4, 3), (4, 2)), ((4, 2), (4, 1))])
def test_one_column_for_each_task_is_demanded(labels, weights):
    with pytest.raises(ValueError, match=r"expected shape \(4, 2\), a column for each task, got"):
        weighted_bce(LOGITS, torch.zeros(labels), torch.zeros(weights))


def test_a_weight_of_positives_for_each_task_is_demanded():
    with pytest.raises(
        ValueError, match=r"pos_weights: expected shape \(2,\), one for each task, got \(3,\)"
    ):
        weighted_bce(LOGITS, LABELS, pos_weights=torch.ones(3))
