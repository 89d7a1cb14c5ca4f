"""Conditional tasks against products of probabilities, in double and in floats that a product would lose."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recap_model.nn import ConditionalTasks
from recap_model.nn.towers.conditional import joint_logit

LOGITS = st.floats(-30, 30)


@given(LOGITS, LOGITS)
def test_the_odds_of_both_are_those_of_the_product(first: float, second: float):
    a, b = (torch.tensor(value, dtype=torch.double) for value in (first, second))
    product = a.sigmoid() * b.sigmoid()
    torch.testing.assert_close(joint_logit(a, b).sigmoid(), product, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("value", [-1e4, -100.0, 100.0, 1e4])
def test_extreme_logits_stay_finite_with_their_gradients(value: float):
    first, second = (torch.full((1,), value, requires_grad=True) for _ in range(2))
    both = joint_logit(first, second)
    both.sum().backward()
    assert both.isfinite().all()
    assert first.grad.isfinite().all()


def test_a_certain_condition_changes_nothing():
    logits = torch.linspace(-5, 5, 11)
    torch.testing.assert_close(joint_logit(torch.full_like(logits, 50.0), logits), logits)


def test_a_chain_multiplies_all_along_it_in_whatever_order_the_tasks_come():
    apart = torch.randn(9, 4, dtype=torch.double)
    p = apart.sigmoid()
    joint = ConditionalTasks([2, None, 1, None])(apart).sigmoid()
    expected = torch.stack([p[:, 0] * p[:, 1] * p[:, 2], p[:, 1], p[:, 1] * p[:, 2], p[:, 3]], dim=1)
    torch.testing.assert_close(joint, expected)


def test_a_task_given_itself_is_refused():
    with pytest.raises(ValueError, match="must not form a cycle"):
        ConditionalTasks([1, 0])


def test_gradients_of_a_chain_are_right():
    chain = ConditionalTasks([None, 0, 1])
    assert torch.autograd.gradcheck(chain, torch.randn(5, 3, dtype=torch.double, requires_grad=True))
