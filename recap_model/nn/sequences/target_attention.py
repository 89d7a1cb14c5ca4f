"""Target attention: events weighted by what they have to do with the candidate."""

import math

import torch
from torch import Tensor, nn

from recap_model.nn.blocks.layers import linear
from recap_model.nn.sequences.events import Events

HIDDEN_BY_ATTENTION = -1e9
"""A score that the exponential makes 0; finite, so that no row of a softmax is empty."""


class ActivationUnit(nn.Module):
    """DIN's reading: ``Σ_j a(q, e_j) e_j`` with ``a(q, e) = v · f(W_q q + W_e e + W_p (q ⊙ e) + b) + c``.

    Zhou et al., "Deep interest network for click-through rate prediction", KDD 2018, section 4.3 and eq. 3
    (arXiv:1706.06978): weights without a softmax, so that their sum says how much the history has to do with the
    candidate. f is PReLU, as theirs is before Dice. They put the outer product of q and e beside both; here, as in
    their published code, it is the element-wise one. (That code adds q - e, which is in the span of W_q and W_e.)
    An empty history reads as zeros.

    Shape:
        events: see `Events`; candidate q: (rows, width); returns (rows, width).
    """

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.out_features = width
        self.of_candidate = linear(width, hidden)
        self.of_event = linear(width, hidden, bias=False)
        self.of_product = linear(width, hidden, bias=False)
        self.activation = nn.PReLU()
        self.weight = linear(hidden, 1)

    def forward(self, events: Events, candidate: Tensor) -> Tensor:
        vectors = events.by_row(events.vectors)
        hidden = self.of_candidate(candidate).unsqueeze(1) + events.by_row(self.of_event(events.vectors))
        hidden = hidden + self.of_product(candidate.unsqueeze(1) * vectors)
        present = events.by_row(events.present).unsqueeze(-1)
        weights = self.weight(self.activation(hidden)) * present
        return (weights * vectors).sum(dim=1)


class SoftmaxAttention(nn.Module):
    """Multi-head attention of the candidate to the events: ``softmax(q K' / √d) V`` for each head, then W_o.

    Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2 (arXiv:1706.03762). Of an empty history
    every head gives zeros.

    Shape:
        events: see `Events`; candidate: (rows, width); returns (rows, width). d is width / heads.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.out_features = width
        self.heads = heads
        self.query = linear(width, width)
        self.key_value = linear(width, 2 * width)
        self.output = linear(width, width)

    def forward(self, events: Events, candidate: Tensor) -> Tensor:
        keys, values = split_heads(self.key_value(events.vectors), self.heads, 2)
        (query,) = split_heads(self.query(candidate), self.heads, 1)
        present = events.by_row(events.present).unsqueeze(-1)
        scores = scores_of_events(query, events.by_row(keys), present)
        weights = torch.softmax(scores, dim=1) * present
        return self.output(weigh(weights, events.by_row(values)).flatten(1))


def split_heads(x: Tensor, heads: int, tensors: int) -> tuple[Tensor, ...]:
    """(..., tensors * width) as ``tensors`` views of (..., heads, width / heads)."""
    return x.unflatten(-1, (tensors, heads, -1)).unbind(-3)


def scores_of_events(query: Tensor, keys: Tensor, present: Tensor) -> Tensor:
    """Scaled dot products of a query (rows, heads, d) with keys (rows, length, heads, d): (rows, length, heads).

    Element by element: a matrix product for each row and head takes several times as long, as they are small.
    """
    scores = (query.unsqueeze(1) * keys).sum(dim=-1) / math.sqrt(query.shape[-1])
    return scores.masked_fill(~present, HIDDEN_BY_ATTENTION)


def weigh(weights: Tensor, values: Tensor) -> Tensor:
    """The weighted sum over events of values (rows, length, heads, d) by (rows, length, heads): (rows, heads, d)."""
    return (weights.to(values.dtype).unsqueeze(-1) * values).sum(dim=1)
