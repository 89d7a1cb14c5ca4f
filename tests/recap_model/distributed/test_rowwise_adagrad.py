"""Updates of embedding tables."""

import pytest
import torch
from torch import nn

from recap_model import build_loss, build_optimizer, create_ranking_model, set_learning_rates
from recap_model.config import parse_config
from recap_model.config.model.optimizer import OptimizerConfig
from recap_model.distributed.rowwise_adagrad import TableOptimizer
from tests.recap_model.models import WIDTHS, batch, section
from tests.tiny import tiny_config

RATE = 0.1
LISTS = {"tables": [{"name": "seen", "num_embeddings": 6, "embedding_dim": 2}]}


def table(sparse: bool) -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(5, 3, sparse=sparse)


def learn(embedding: nn.Embedding, optimizer: torch.optim.Optimizer, steps: list[list[int]]) -> torch.Tensor:
    """Steps of a loss whose gradient of an entry is 1, 2, 3 for each time that it is read."""
    for ids in steps:
        optimizer.zero_grad()
        (embedding(torch.tensor(ids)) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        optimizer.step()
    return embedding.weight.detach()


@pytest.mark.parametrize("sparse", [True, False])
def test_entries_read_once_a_step_learn_by_rowwise_adagrad(sparse: bool):
    embedding = table(sparse)
    start = embedding.weight.detach().clone()
    optimizer = TableOptimizer(embedding.parameters(), lr=RATE)
    after = learn(embedding, optimizer, [[1, 4], [4]])
    gradient, square = torch.tensor([1.0, 2.0, 3.0]), 14.0 / 3.0
    once = RATE * gradient / square**0.5
    torch.testing.assert_close(start - after, torch.stack([once * n for n in (0, 1, 0, 0, 1 + 2**-0.5)]))


@pytest.mark.parametrize("sparse", [True, False])
def test_plain_descent_is_torchs_sgd(sparse: bool):
    ours, theirs = table(sparse), table(False)
    steps = [[0, 1, 1], [3], [1, 1, 1, 0]]
    found = learn(ours, TableOptimizer(ours.parameters(), lr=RATE, algorithm="sgd"), steps)
    torch.testing.assert_close(found, learn(theirs, torch.optim.SGD(theirs.parameters(), lr=RATE), steps))


def test_an_entry_read_twice_adds_the_squares_of_both():
    embedding = table(sparse=True)
    optimizer = TableOptimizer(embedding.parameters(), lr=RATE)
    learn(embedding, optimizer, [[2, 2]])
    assert optimizer.state[embedding.weight]["squares"].tolist() == pytest.approx([0, 0, 28 / 3, 0, 0])


def module_with(embeddings: dict | None, **fields):
    torch.manual_seed(0)
    config = section(large_embeddings=LISTS, **fields)
    module = create_ranking_model(WIDTHS, config, "cpu", build_loss(config))
    rates = {"single_task_learning_rate": {"constant": 0.01}, "embeddings": embeddings}
    return module, OptimizerConfig(**rates)


def rows():
    return batch(sparse={"seen": torch.tensor([[1, 2, -1]] * 7)})


@pytest.mark.parametrize("algorithm", ["rowwise_adagrad", "sgd"])
def test_tables_small_and_large_move_only_in_the_entries_read_and_at_their_own_rate(algorithm: str):
    ramp = {"linear_ramp_to_constant": {"learning_rate": 0.5, "num_ramp_steps": 2}}
    module, config = module_with({"algorithm": algorithm, "learning_rate": ramp})
    optimizer = build_optimizer(module, config)
    assert [group["lr"] for group in optimizer.param_groups if group.get("tables")] == [0.0]
    set_learning_rates(optimizer, config, 1)
    assert [group["lr"] for group in optimizer.param_groups if group.get("tables")] == [0.25]
    large = module.model.inputs.large_embeddings.tables[0].table.weight
    small = module.model.inputs.small_embeddings
    before, small_before = large.detach().clone(), small.weight_of(0).clone()
    rows_read = rows()
    module(rows_read)[0].backward()
    assert large.grad.is_sparse
    optimizer.step()
    assert (large != before).any(dim=1).tolist() == [False, True, True, False, False, False]
    ids = rows_read.discrete[:, small.columns[0]].tolist()
    read = {id_ if 0 <= id_ < len(small_before) else 0 for id_ in ids}
    moved = (small.weight_of(0) != small_before).any(dim=1).nonzero()[:, 0].tolist()
    assert moved == sorted(read)


def test_the_state_of_both_parts_comes_back():
    embeddings = {"learning_rate": {"constant": 0.1}}
    results = []
    for restart in (False, True):
        module, config = module_with(embeddings)
        optimizer = build_optimizer(module, config)
        for step in range(4):
            if restart and step == 2:
                state = optimizer.state_dict()
                optimizer = build_optimizer(module, config)
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            module.eval()(rows())[0].backward()
            optimizer.step()
        results.append(module.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_a_model_without_tables_has_nothing_to_update_so():
    content = tiny_config().model_dump()
    content["optimizer"]["embeddings"] = {"learning_rate": {"constant": 0.1}}
    content["model"] |= {"small_embeddings": None, "large_embeddings": None}
    with pytest.raises(ValueError, match=r"optimizer\.embeddings: the model has no embedding table"):
        parse_config(content)
    module, config = module_with({"learning_rate": {"constant": 0.1}})
    module.model.inputs.small_embeddings = module.model.inputs.large_embeddings = None
    with pytest.raises(ValueError, match=r"optimizer\.embeddings: the model has no table"):
        build_optimizer(module, config)
