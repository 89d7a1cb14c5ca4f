"""What is read of a history: against the papers' formulas in loops, and whatever else is in the batch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from recap_model import RecapBatch
from recap_model.config.model.sequences import TransformerConfig
from recap_model.nn.sequences.event_encoder import TimeBuckets
from recap_model.nn.sequences.events import Events
from recap_model.nn.sequences.pooling import Pooling
from recap_model.nn.sequences.target_attention import ActivationUnit, SoftmaxAttention
from recap_model.nn.sequences.transformer import TransformerReader
from tests.recap_model.sequences import READERS, repeated, sequence_batch, sequence_model

WIDTH, LENGTHS = 8, [3, 0, 5]


def events(history_row: Tensor | None = None) -> Events:
    torch.manual_seed(3)
    present = torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(1)
    return Events(torch.randn(3, 5, WIDTH), present, history_row)


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """With biases and norms that are not at their start, where an error in them would not show."""
    torch.manual_seed(7)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return module.eval()


def din(reader: ActivationUnit, history: np.ndarray, q: np.ndarray) -> np.ndarray:
    """DIN, eq. 3, event by event."""
    state = {name: tensor.detach().numpy() for name, tensor in reader.state_dict().items()}
    read = np.zeros(WIDTH)
    for e in history:
        z = (
            state["of_candidate.weight"] @ q
            + state["of_candidate.bias"]
            + state["of_event.weight"] @ e
            + state["of_product.weight"] @ (q * e)
        )
        hidden = np.where(z > 0, z, state["activation.weight"] * z)
        read += (state["weight.weight"] @ hidden + state["weight.bias"]) * e
    return read


def softmax_attention(reader: SoftmaxAttention, history: np.ndarray, q: np.ndarray) -> np.ndarray:
    state = {name: tensor.detach().numpy() for name, tensor in reader.state_dict().items()}
    heads = attend(state, reader.heads, q, history) if len(history) else np.zeros(WIDTH)
    return state["output.weight"] @ heads + state["output.bias"]


def attend(
    state: dict[str, np.ndarray], heads: int, x: np.ndarray, seen: np.ndarray, prefix: str = ""
) -> np.ndarray:
    """Multi-head attention of one vector to several, head by head."""
    query = state[f"{prefix}query.weight"] @ x + state[f"{prefix}query.bias"]
    both = seen @ state[f"{prefix}key_value.weight"].T + state[f"{prefix}key_value.bias"]
    keys, values, d = both[:, :WIDTH], both[:, WIDTH:], WIDTH // heads
    parts = []
    for head in range(heads):
        own = slice(head * d, (head + 1) * d)
        scores = np.exp(keys[:, own] @ query[own] / math.sqrt(d))
        parts.append(scores / scores.sum() @ values[:, own])
    return np.concatenate(parts)


def norm(state: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * state[f"{name}.weight"] + state[f"{name}.bias"]


def transformer(reader: TransformerReader, history: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Pre-norm layers over events that see one another, and a candidate that sees them and itself, token by token."""
    state = {name: tensor.detach().numpy() for name, tensor in reader.state_dict().items()}
    tokens = [e + p for e, p in zip(history, state["positions"], strict=False)]
    for number, layer in enumerate(reader.layers):
        name = f"layers.{number}."

        def through(
            x: np.ndarray, seen: list[np.ndarray], name: str = name, heads: int = layer.heads
        ) -> np.ndarray:
            normed = np.array([norm(state, f"{name}attention_norm", one) for one in seen])
            own = norm(state, f"{name}attention_norm", x)
            x = (
                x
                + state[f"{name}output.weight"] @ attend(state, heads, own, normed, name)
                + state[f"{name}output.bias"]
            )
            hidden = norm(state, f"{name}feed_forward_norm", x)
            hidden = state[f"{name}feed_forward.0.weight"] @ hidden + state[f"{name}feed_forward.0.bias"]
            return (
                x
                + state[f"{name}feed_forward.2.weight"] @ np.maximum(hidden, 0)
                + state[f"{name}feed_forward.2.bias"]
            )

        q, tokens = through(q, [q, *tokens]), [through(token, tokens) for token in tokens]
    return norm(state, "norm", q)


ORACLES = {
    "din": (ActivationUnit(WIDTH, 6), din),
    "attention": (SoftmaxAttention(WIDTH, 2), softmax_attention),
    "transformer": (TransformerReader(WIDTH, 9, TransformerConfig(layers=3, heads=2)), transformer),
    "sum": (Pooling(WIDTH, mean=False), lambda reader, history, q: history.sum(axis=0)),
    "mean": (
        Pooling(WIDTH, mean=True),
        lambda reader, history, q: history.sum(axis=0) / max(len(history), 1),
    ),
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("history_row", [None, torch.tensor([2, 0, 0, 1, 2])], ids=["one each", "shared"])
def test_a_reader_computes_its_formula(name: str, history_row: Tensor | None):
    reader, oracle = ORACLES[name]
    randomised(reader)
    given = events(history_row)
    rows = [0, 1, 2] if history_row is None else history_row.tolist()
    candidates = torch.randn(len(rows), WIDTH)
    found = reader(given, candidates)
    for row, history in enumerate(rows):
        expected = oracle(reader, given.vectors[history, : LENGTHS[history]].numpy(), candidates[row].numpy())
        np.testing.assert_allclose(found[row].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", READERS)
def test_padding_is_not_read(name: str):
    model, rows = sequence_model(name), sequence_batch(9)
    junk = {"item": 7, "author": 3, "surface": 2, "actions": 1.0, "dwell_s": 5.0, "time": 1.0}
    sides = rows.sequences["history"]
    padding = torch.arange(6) >= sides["length"].unsqueeze(1)
    filled = {key: sides[key].clone() for key in sides}
    wider = {"length": sides["length"]}
    for key, value in junk.items():
        filled[key][padding] = value
        more = torch.full((9, 3, *sides[key].shape[2:]), value, dtype=sides[key].dtype)
        wider[key] = torch.cat([sides[key], more], dim=1)
    expected = model(rows)["logits"]
    assert expected.isfinite().all()
    assert torch.equal(model(replace(rows, sequences={"history": filled}))["logits"], expected)
    torch.testing.assert_close(model(replace(rows, sequences={"history": wider}))["logits"], expected)


@pytest.mark.parametrize("name", READERS)
def test_gradients_are_finite_and_reach_every_parameter(name: str):
    model, rows = sequence_model(name).train(), sequence_batch(9)
    model(rows)["logits"].sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    empty = {key: tensor[-1:] for key, tensor in rows.sequences["history"].items()}
    assert model.eval()(replace(rows[8:], sequences={"history": empty}))["logits"].isfinite().all()


@pytest.mark.parametrize("name", READERS)
def test_a_score_does_not_depend_on_the_other_candidates(name: str):
    model, rows = sequence_model(name), sequence_batch(1500, longest=20, shared=True)
    random = torch.Generator().manual_seed(5)
    fixed = torch.tensor([0, 7, 750, 1499])
    with torch.inference_mode():
        scores = model(rows)["score"]
        torch.testing.assert_close(model(repeated(rows))["score"], scores, rtol=1e-5, atol=1e-5)
        order, moved = torch.arange(1500), torch.ones(1500, dtype=torch.bool)
        moved[fixed] = False
        order[moved] = order[moved][torch.randperm(1496, generator=random)]
        assert torch.equal(model(rows[order])["score"][fixed], scores[fixed])
        others = sequence_batch(1500, longest=20, shared=True, seed=9)
        merged = RecapBatch(
            **{
                key: other.index_copy(0, fixed, rows.tensors()[key][fixed])
                for key, other in others.tensors().items()
            },
            sequences=rows.sequences,
            history_row=rows.history_row,
        )
        assert torch.equal(model(merged)["score"][fixed], scores[fixed])
        for row in fixed.tolist():
            alone = model(rows[row : row + 1])["score"]
            torch.testing.assert_close(alone, scores[row : row + 1], rtol=0.0, atol=1e-4)


def test_the_order_of_events_matters_to_the_transformer_alone():
    rows = sequence_batch(4, longest=6)
    sides = {key: tensor[:1] for key, tensor in rows.sequences["history"].items()}
    backwards = {key: tensor if key == "length" else tensor.flip(1) for key, tensor in sides.items()}
    row = rows[:1]
    for name in READERS:
        model = sequence_model(name)
        one, other = (
            model(replace(row, sequences={"history": given}))["logits"] for given in (sides, backwards)
        )
        assert torch.allclose(one, other, atol=1e-5) == (name != "transformer")


def test_times_fall_into_buckets_that_grow_by_the_root_of_two():
    buckets = TimeBuckets(8, 2)
    torch.nn.init.zeros_(buckets.table.weight)
    buckets.table.weight.data[:, 0] = torch.arange(9.0)
    minutes = torch.tensor([-5.0, 0.0, 0.41, 0.42, 0.99, 1.01, 2.99, 3.01, 1e9, math.nan])
    assert buckets(minutes / 60.0)[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 3, 4, 7, 8]


def test_what_a_batch_lacks_is_named():
    model, rows = sequence_model("din"), sequence_batch(5)
    sides = rows.sequences["history"]
    for change, message in (
        (
            {"item": sides["item"][:3]},
            r"history\.item: expected shape \(5, 6\) of int64, got \(3, 6\)|got \(3, 6\)",
        ),
        (
            {"dwell_s": sides["dwell_s"][:, :4]},
            r"history\.dwell_s: expected shape \(5, 6\) of float32.*got \(5, 4\)",
        ),
        ({"actions": sides["actions"][..., :2]}, r"history\.actions: expected shape \(5, 6, 3\)"),
        (
            {"length": sides["length"].float()},
            r"history\.length: expected shape \(5\) of int64, got \(5,\) of float32",
        ),
        ({"item": None}, r"history\.item: missing in the batch; expected shape \(5, length of at most 20\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model(replace(rows, sequences={"history": {**sides, **change}}))
    with pytest.raises(ValueError, match=r"history_row: expected shape \(5\) of int64"):
        model(replace(rows, history_row=torch.zeros(4, dtype=torch.int64)))
    longer = sequence_batch(5, longest=21)
    with pytest.raises(ValueError, match=r"history: histories of 21 events; max_length is 20"):
        model(longer)
