"""Learning rates of towers and backbone."""

import pytest
import torch
from torch import nn

from recap_model import build_loss, build_optimizer, create_ranking_model, rate_at, set_learning_rates
from recap_model.config.model.optimizer import LearningRate, OptimizerConfig
from recap_model.optim.schedules import describe_unfinished_decay
from tests.recap_model.models import MLP, TOWER, WIDTHS, batch, section

COSINE = {"learning_rate": 1.0, "final_learning_rate": 0.2, "num_ramp_steps": 4, "final_num_steps": 12}
RAMP = {"linear_ramp_to_constant": {"learning_rate": 0.1, "num_ramp_steps": 10}}
RATES = {
    "backbone_learning_rate": {"constant": 0.01},
    "tower_learning_rates": {"like": RAMP, "reply": {"constant": 0.03}},
}


def config(**fields) -> OptimizerConfig:
    return OptimizerConfig(**({"multi_task_learning_rates": RATES} | fields))


def module(**fields) -> nn.Module:
    model_config = section(**fields)
    return create_ranking_model(WIDTHS, model_config, "cpu", build_loss(model_config))


def rates_by_task(optimizer) -> dict[str | None, float]:
    return {group["task"]: group["lr"] for group in optimizer.param_groups}


def test_a_cosine_falls_from_the_ramps_end_to_the_final_rate():
    schedule = LearningRate(linear_ramp_to_cosine=COSINE)
    rates = [rate_at(schedule, step) for step in (0, 2, 4, 8, 12, 1000)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.6, 0.2, 0.2])


@pytest.mark.parametrize(
    ("fractions", "numbers"),
    [
        (
            {"linear_ramp_to_cosine": COSINE | {"num_ramp_steps": 0.25, "final_num_steps": "auto"}},
            {"linear_ramp_to_cosine": COSINE | {"num_ramp_steps": 5, "final_num_steps": 20}},
        ),
        (
            {"linear_ramp_to_cosine": COSINE | {"num_ramp_steps": 5, "final_num_steps": 0.6}},
            {"linear_ramp_to_cosine": COSINE | {"num_ramp_steps": 5, "final_num_steps": 12}},
        ),
        (
            {"linear_ramp_to_constant": {"learning_rate": 0.1, "num_ramp_steps": 0.5}},
            {"linear_ramp_to_constant": {"learning_rate": 0.1, "num_ramp_steps": 10}},
        ),
        (
            {
                "piecewise_constant": {
                    "learning_rate_boundaries": [0.1, 0.5],
                    "learning_rate_values": [1, 2, 3],
                }
            },
            {"piecewise_constant": {"learning_rate_boundaries": [2, 10], "learning_rate_values": [1, 2, 3]}},
        ),
    ],
)
def test_fractions_of_a_run_are_steps_of_its_length(fractions, numbers):
    schedule = LearningRate(**fractions)
    of_run = [rate_at(schedule, step, steps=20) for step in range(20)]
    assert of_run == [rate_at(LearningRate(**numbers), step) for step in range(20)]
    assert LearningRate.model_validate_json(schedule.model_dump_json()) == schedule
    with pytest.raises(ValueError, match="is of the run's steps; give their number"):
        rate_at(schedule, 19)


def test_a_run_of_one_step_and_a_ramp_longer_than_the_run_have_rates():
    cosine = COSINE | {"num_ramp_steps": 0.9, "final_num_steps": "auto"}
    assert rate_at(LearningRate(linear_ramp_to_cosine=cosine), 0, steps=1) == 0.0
    cosine = COSINE | {"num_ramp_steps": 100, "final_num_steps": "auto"}
    assert rate_at(LearningRate(linear_ramp_to_cosine=cosine), 50, steps=60) == 0.5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_ramp_steps": 1.5}, "valid integer"),
        ({"num_ramp_steps": 0.0}, "greater than 0"),
        ({"num_ramp_steps": 0.5, "final_num_steps": 0.4}, "final_num_steps must be over num_ramp_steps"),
        ({"num_ramp_steps": 9, "final_num_steps": 9}, "final_num_steps must be over num_ramp_steps"),
        ({"final_num_steps": "end"}, "valid integer"),
    ],
)
def test_steps_of_a_schedule_are_checked(fields, message):
    with pytest.raises(ValueError, match=message):
        LearningRate(linear_ramp_to_cosine=COSINE | fields)


def test_a_run_that_ends_before_its_cosine_is_reported():
    cosine = {"linear_ramp_to_cosine": COSINE | {"num_ramp_steps": 10, "final_num_steps": 900}}
    said = describe_unfinished_decay(OptimizerConfig(single_task_learning_rate=cosine), 684)
    assert said == (
        "optimizer.single_task_learning_rate.linear_ramp_to_cosine: final_num_steps is 900, the run has 684 steps, "
        "so its last rate is 0.31; give final_num_steps: auto"
    )
    assert describe_unfinished_decay(OptimizerConfig(single_task_learning_rate=cosine), 880) == ""


def test_each_tower_and_the_backbone_has_its_rate():
    optimizer = build_optimizer(module(), config())
    assert rates_by_task(optimizer) == {None: 0.01, "like": 0.0, "reply": 0.03}
    set_learning_rates(optimizer, config(), step=5)
    assert rates_by_task(optimizer) == {None: 0.01, "like": 0.05, "reply": 0.03}


PLE = {"multi_task_type": "ple", "backbone": None, "ple": {"expert": MLP, "levels": 2}}
AFFINE = {"tasks": {"like": TOWER | {"affine_map": {}}, "reply": TOWER}}


@pytest.mark.parametrize("fields", [{}, PLE, AFFINE], ids=["share_all", "ple", "affine map"])
def test_every_parameter_is_in_one_group(fields):
    net = module(**fields)
    optimizer = build_optimizer(net, config(adam={"weight_decay": 0.1}))
    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in net.parameters())


def test_a_tasks_own_experts_and_gates_learn_at_its_towers_rate():
    net = module(**PLE)
    groups = {group["task"]: group["params"] for group in build_optimizer(net, config()).param_groups}
    own = {id(parameter) for parameter in groups["like"]}
    level = net.model.net.levels[0]
    for part in (level.task_experts["like"], level.gates["like"], net.model.net.towers["like"]):
        assert own >= {id(parameter) for parameter in part.parameters()}
    assert {id(p) for p in level.shared_experts.parameters()} <= {id(p) for p in groups[None]}


def test_one_rate_may_serve_all():
    optimizer = build_optimizer(
        module(), config(multi_task_learning_rates=None, single_task_learning_rate={"constant": 0.5})
    )
    assert set(rates_by_task(optimizer).values()) == {0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tower_learning_rates": {"like": RAMP}}, "tower_learning_rates: no rate for reply"),
        (
            {"tower_learning_rates": RATES["tower_learning_rates"] | {"share": RAMP}},
            "tower_learning_rates: unknown task 'share'; tasks: like, reply",
        ),
        ({"backbone_learning_rate": None}, "backbone_learning_rate: needed by the parameters"),
    ],
)
def test_no_rate_is_ever_a_silent_default(change, message):
    with pytest.raises(ValueError, match=message):
        build_optimizer(module(), config(multi_task_learning_rates=RATES | change))


def test_only_weight_matrices_decay():
    net = module()
    optimizer = build_optimizer(net, config(adam={"weight_decay": 0.1}))
    decaying = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    linear = {id(part.weight) for part in net.modules() if isinstance(part, nn.Linear)}
    assert isinstance(optimizer, torch.optim.AdamW)
    assert decaying == linear


def test_adam_has_the_configured_moments():
    optimizer = build_optimizer(module(), config(adam={"beta_1": 0.95, "epsilon": 1e-5}))
    assert optimizer.defaults["betas"] == (0.95, 0.999)
    assert optimizer.defaults["eps"] == 1e-5


def test_a_resumed_optimizer_goes_on_as_if_never_stopped():
    def train(net, optimizer, steps):
        for step in steps:
            set_learning_rates(optimizer, config(), step)
            optimizer.zero_grad()
            net(batch(seed=step))[0].backward()
            optimizer.step()

    torch.manual_seed(0)
    whole = module().eval()
    part = module().eval()
    part.load_state_dict(whole.state_dict())
    train(whole, build_optimizer(whole, config()), range(6))
    first = build_optimizer(part, config())
    train(part, first, range(3))
    second = build_optimizer(part, config())
    second.load_state_dict(first.state_dict())
    train(part, second, range(3, 6))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, part.state_dict()[name]), name


def test_a_module_without_a_model_is_refused():
    with pytest.raises(ValueError, match="Linear holds no MultiTaskRankingModel"):
        build_optimizer(nn.Linear(1, 1), config())
