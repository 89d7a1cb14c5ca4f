"""The training loop, on rows small enough to see."""

import math
import re

import pytest
import torch
from torch import nn

from recap_model.training import NonFiniteLossError, WeightAverage, choose_bf16, train
from tests.recap_model.training.few_rows import FewRows, new_module, trained, weights_of
from tests.tiny import tiny_config


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    first, second, other = trained()[0], trained()[0], trained(seed=7)[0]
    assert weights_of(first) == weights_of(second)
    assert weights_of(first) != weights_of(other)


def test_the_loss_falls_and_every_report_says_where_training_stands():
    _, reports = trained(epochs=20, log_every_steps=30)
    assert [report.step for report in reports] == [1, 30, 60, 80]
    assert reports[-1].loss < 0.5 * reports[0].loss
    assert reports[-1].rows == 20 * 128
    assert reports[-1].epoch == 19
    assert reports[-1].seconds_left == 0.0
    assert reports[-1].loss == pytest.approx(sum(reports[-1].losses.values()) / 2, rel=1e-5)
    assert set(reports[-1].losses) == {"like", "reply"}
    assert set(reports[-1].learning_rates) == {"shared", "like", "reply"}


def test_the_learning_rate_of_a_step_is_its_schedules():
    ramp = {"linear_ramp_to_constant": {"learning_rate": 0.1, "num_ramp_steps": 10}}
    config = tiny_config(
        optimizer={"single_task_learning_rate": ramp}, training={"epochs": 3, "log_every_steps": 1}
    )
    _, reports = trained(config=config)
    rates = [report.learning_rates["like"] for report in reports]
    assert rates == pytest.approx([0.1 * min(step / 10, 1.0) for step in range(12)])


@pytest.mark.parametrize(("training", "steps"), [({"epochs": 3}, 12), ({"epochs": 3, "max_steps": 7}, 7)])
def test_a_schedule_of_fractions_ends_with_the_run(training: dict, steps: int):
    cosine = {
        "learning_rate": 0.1,
        "final_learning_rate": 0.0,
        "num_ramp_steps": 0.25,
        "final_num_steps": "auto",
    }
    optimizer = {"single_task_learning_rate": {"linear_ramp_to_cosine": cosine}}
    config = tiny_config(optimizer=optimizer, training=training | {"log_every_steps": 1})
    rates = [report.learning_rates["like"] for report in trained(config=config)[1]]
    ramp = round(steps / 4)
    assert rates[ramp] == 0.1
    last = 0.05 * (1 + math.cos(math.pi * (steps - 1 - ramp) / (steps - ramp)))
    assert rates[-1] == pytest.approx(last)
    assert len(rates) == steps


def test_max_steps_ends_training_in_the_middle_of_an_epoch():
    state, reports = trained(max_steps=3)
    assert state.step == 3
    assert state.rows == 3 * 32
    assert (reports[-1].step, reports[-1].steps) == (3, 3)


def test_a_last_batch_of_one_row_is_left_out():
    rows = FewRows()
    rows.all = rows.all[slice(0, 97)]
    state, reports = trained(rows, epochs=1)
    assert state.rows == 96
    assert reports[-1].step == 3


def test_rows_that_make_no_batch_are_an_error():
    rows = FewRows()
    rows.all = rows.all[slice(0, 1)]
    with pytest.raises(ValueError, match="fewer than two rows"):
        trained(rows)


def test_weights_move_at_most_by_the_clipped_gradient():
    config = tiny_config(training={"epochs": 1, "max_steps": 1, "gradient_clip_norm": 1e-3})
    state, _ = trained(config=config)
    squares = [
        parameter.grad.square().sum() for parameter in state.module.parameters() if parameter.grad is not None
    ]
    assert math.sqrt(sum(squares)) == pytest.approx(1e-3, rel=1e-3)


def test_a_nan_loss_stops_before_the_weights_change_and_names_step_task_and_column():
    embedding = FewRows().all.user_embedding
    embedding[5, 2] = 1e38  # its square, in the layer norm, is beyond float32
    config = tiny_config(training={"epochs": 1, "max_steps": 4})
    torch.manual_seed(0)
    module = new_module(config)
    with pytest.raises(NonFiniteLossError) as caught:
        train(module, FewRows(user_embedding=embedding), config, lambda progress: None)
    assert re.match(r"step \d: the loss is not finite for like \(nan\), reply \(nan\)", str(caught.value))
    assert "the largest inputs are user_embedding[2] (up to 1e+38), " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert all(bool(parameter.isfinite().all()) for parameter in module.parameters())


def test_a_gradient_that_overflows_stops_training_on_the_rows_that_made_it():
    config = tiny_config(training={"epochs": 1})
    module = new_module(config)
    spoil = next(module.parameters())
    spoil.register_hook(lambda gradient: gradient * torch.inf)
    before = [parameter.clone() for parameter in module.parameters()]
    with pytest.raises(
        NonFiniteLossError, match="step 1: the gradient is not finite; the largest inputs are"
    ):
        train(module, FewRows(), config, lambda progress: None)
    assert all(map(torch.equal, before, module.parameters()))


@pytest.mark.parametrize(
    ("name", "value"), [("labels", torch.inf), ("weights", torch.inf), ("weights", torch.nan)]
)
def test_labels_and_weights_that_are_not_finite_are_named_as_the_cause(name: str, value: float):
    values = torch.ones(128, 2)
    values[:, 1] = value
    with pytest.raises(
        NonFiniteLossError, match=rf"reply \(.*; the {name} of 32 rows are not finite; run prepare"
    ):
        trained(FewRows(**{name: values}))


def test_bf16_trains_float32_weights_with_a_float32_loss():
    state, reports = trained(precision="bf16", epochs=20)
    assert state.bf16
    assert all(parameter.dtype == torch.float32 for parameter in state.module.parameters())
    assert reports[-1].loss < 0.6 * reports[0].loss
    exact, _ = trained(precision="fp32", epochs=20)
    assert not exact.bf16


def test_precision_auto_is_float32_for_a_small_net_and_without_the_hardware(monkeypatch: pytest.MonkeyPatch):
    small, wide = nn.Linear(100, 100), nn.Linear(400, 400)
    config = tiny_config().training
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert [choose_bf16(config, cpu, net) for net in (small, wide)] == [False, True]
    assert not choose_bf16(config, cpu, nn.Embedding(1000, 400))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert not choose_bf16(config, cpu, wide)


def test_the_average_of_constant_weights_is_those_weights():
    model = nn.BatchNorm1d(3)
    average = WeightAverage(model, 0.9)
    for _ in range(5):
        average.update(model)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average.copy_to(model)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_the_average_follows_its_formula():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.15)
    with torch.no_grad():
        expected = model.weight.item()
        for number, value in enumerate((1.0, 2.0, 5.0)):
            model.weight.fill_(value)
            average.update(model)
            decay = min(0.15, (1 + number) / (10 + number))
            expected = decay * expected + (1 - decay) * value
    average.copy_to(model)
    assert model.weight.item() == pytest.approx(expected)


def test_training_with_an_average_ends_with_it():
    plain, averaged = trained(epochs=1)[0], trained(epochs=1, ema_decay=0.9)[0]
    assert averaged.average is not None
    assert weights_of(plain) != weights_of(averaged)
