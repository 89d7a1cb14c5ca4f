"""A model with its loss."""

import pytest
import torch

from recap_model import ModelAndLoss, build_loss, create_ranking_model
from tests.recap_model.models import WIDTHS, batch, section

STRATIFIERS = [{"name": "topic_3", "index": 1, "value": 3}]


def model_and_loss(**fields) -> ModelAndLoss:
    config = section(**fields)
    return create_ranking_model(WIDTHS, config, "cpu", loss_fn=build_loss(config)).eval()


def test_outputs_hold_what_the_model_returned_and_what_it_was_held_to():
    rows = batch()
    loss, outputs = model_and_loss(stratifiers=STRATIFIERS)(rows)
    assert outputs["loss"] is loss
    torch.testing.assert_close(loss, (outputs["loss/like"] + outputs["loss/reply"]) / 2)
    assert outputs["labels"] is rows.labels
    assert outputs["weights"] is rows.weights
    assert torch.equal(outputs["stratifiers"]["topic_3"], rows.discrete[:, 1])
    assert {"logits", "probabilities", "calibrated_probabilities", "score"} <= set(outputs)


def test_without_stratifiers_there_are_no_stratifier_columns():
    assert "stratifiers" not in model_and_loss()(batch())[1]


def test_weights_are_one_where_there_are_none():
    module = model_and_loss()
    torch.testing.assert_close(module(batch(weights=None))[0], module(batch(weights=torch.ones(7, 2)))[0])


def test_a_loss_may_be_a_scalar_alone():
    def loss_fn(logits, labels, weights):
        return (logits - labels).square().mean()

    loss, outputs = create_ranking_model(WIDTHS, section(), "cpu", loss_fn=loss_fn)(batch())
    assert loss.shape == ()
    assert "loss/like" not in outputs


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"labels": None}, r"labels: missing in the batch; expected shape \(rows, 2\)"),
        ({"labels": torch.zeros(7, 3)}, r"labels: expected shape \(rows, 2\), got \(7, 3\)"),
        ({"weights": torch.zeros(7)}, r"weights: expected shape \(rows, 2\), got \(7,\)"),
    ],
)
def test_labels_and_weights_have_one_column_for_each_task(groups, message):
    with pytest.raises(ValueError, match=message):
        model_and_loss()(batch(**groups))


@pytest.mark.parametrize("pos_weight", [1.0, 6.0])
def test_calibration_undoes_sampling_and_pos_weight_of_a_log_with_known_truth(pos_weight):
    """Trained on sampled rows without weights, calibrated probabilities have the rate of the whole log."""
    random = torch.Generator().manual_seed(3)
    x = torch.randn(60_000, 1, generator=random)
    truth = torch.sigmoid(1.2 * torch.sign(x) * torch.log1p(x.abs()) - 3.0)
    labels = (torch.rand(60_000, 1, generator=random) < truth).float()
    kept = ((labels == 1) | (torch.rand(60_000, 1, generator=random) < 0.1))[:, 0]
    config = section(
        multi_task_type="share_none",
        backbone=None,
        featurization_config={"log1p_abs_config": {}},
        tasks={"like": {"mlp_config": {"layer_sizes": [1]}, "pos_weight": pos_weight}},
        small_embeddings=None,
        position_debias_config=None,
    )
    rates = {"like": {"pos_downsampling_rate": 1.0, "neg_downsampling_rate": 0.1}}
    module = create_ranking_model({"continuous": 1}, config, "cpu", build_loss(config), data_config=rates)
    sampled = batch(continuous=x[kept], labels=labels[kept], weights=None)
    optimizer = torch.optim.LBFGS(module.parameters(), max_iter=50)

    def step():
        optimizer.zero_grad()
        loss, _ = module(sampled)
        loss.backward()
        return loss

    optimizer.step(step)
    module.model.undo_pos_weights()
    outputs = module.model(batch(continuous=x))
    true_rate = truth.mean().item()
    assert outputs["calibrated_probabilities"].mean().item() == pytest.approx(true_rate, rel=0.05)
    assert outputs["probabilities"].mean().item() > 4 * true_rate
