"""Losses and links of value tasks: against scikit-learn, and where their gradients vanish."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_tweedie_deviance

from recap_model.metrics.values import unit_deviance
from recap_model.nn.value_link import ValueLink
from recap_model.value_losses import ValueLoss, ValueTasksLoss

LOSSES = [
    ValueLoss("huber", 10.0),
    ValueLoss("mae", 10.0),
    ValueLoss("mse", 10.0),
    ValueLoss("tweedie", 10.0, 1.4),
]


def test_the_losses_are_those_that_the_metrics_measure():
    random = np.random.default_rng(1)
    labels = np.where(random.random(200) < 0.2, 0.0, random.gamma(1.0, 20.0, 200))
    predictions = random.gamma(2.0, 10.0, 200)
    for loss in LOSSES:
        found = loss(torch.from_numpy(predictions), torch.from_numpy(labels)).numpy()
        expected = unit_deviance(labels, predictions, loss.kind, loss.scale, loss.power)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    tweedie = LOSSES[-1](torch.from_numpy(predictions), torch.from_numpy(labels)).mean().item()
    assert tweedie == pytest.approx(0.5 * mean_tweedie_deviance(labels / 10, predictions / 10, power=1.4))


def test_missing_labels_have_no_loss_and_no_gradient():
    predictions = torch.full((3, 4), 5.0, requires_grad=True)
    labels = torch.tensor([[15.0] * 4, [torch.nan] * 4, [5.0] * 4])
    weights = torch.tensor([[2.0] * 4, [7.0] * 4, [1.0] * 4])
    losses = ValueTasksLoss(LOSSES)(predictions, labels, weights)
    assert losses[:3].tolist() == [
        0.5,
        1.0,
        1.0,
    ]  # of two rows, one right and one that counts twice, off by a scale
    losses.sum().backward()
    assert predictions.grad is not None
    assert predictions.grad.isfinite().all()
    assert (predictions.grad[1] == 0).all()
    nothing = ValueTasksLoss(LOSSES)(predictions, torch.full((3, 4), torch.nan))
    assert nothing.tolist() == [0.0] * 4


@pytest.mark.parametrize("loss", [ValueLoss("mse", 10.0), ValueLoss("tweedie", 10.0, 1.5)])
def test_the_mean_label_is_the_best_constant(loss: ValueLoss):
    labels = torch.tensor([0.0, 0.0, 5.0, 40.0, 100.0], dtype=torch.float64)
    constant = labels.mean().clone().requires_grad_()
    loss(constant.expand(5), labels).sum().backward()
    assert constant.grad is not None
    assert constant.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_a_gradient_is_finite_at_a_prediction_of_zero():
    predictions = torch.zeros(2, requires_grad=True)
    ValueLoss("tweedie")(predictions, torch.tensor([0.0, 3.0])).sum().backward()
    assert predictions.grad is not None
    assert predictions.grad.isfinite().all()


def test_values_rise_with_the_logit_from_zero_to_the_cap():
    link = ValueLink(caps=[None, 300.0, None], scales=[None, 30.0, 30.0])
    logits = torch.linspace(-30.0, 30.0, 241).unsqueeze(1).expand(-1, 3)
    found = link(logits)
    assert (found.diff(dim=0) >= 0).all()
    torch.testing.assert_close(found[:, 0], torch.sigmoid(logits[:, 0]))
    assert found[0].max() < 1e-8
    assert found[-1].tolist() == pytest.approx([1.0, 300.0, 900.0])
    with pytest.raises(ValueError, match=r"cap: 3\.0: of a value task only"):
        ValueLink(caps=[3.0], scales=[None])
