"""A transformer over a history's events, which candidates read without seeing one another."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from recap_model.config.model.sequences import TransformerConfig
from recap_model.nn.blocks.layers import linear
from recap_model.nn.sequences.events import Events
from recap_model.nn.sequences.target_attention import scores_of_events, split_heads, weigh

_POSITION_STD = 0.02


class TransformerLayer(nn.Module):
    """``x + W_o attention(norm(x))``, then ``x + W_2 relu(W_1 norm(x))``: the pre-norm layer.

    Vaswani et al., NeurIPS 2017 (arXiv:1706.03762), with the norms first (Xiong et al., ICML 2020, arXiv:2002.04745).

    Shape:
        x: (histories, length, width) of events, or (rows, width) of candidates.
    """

    def __init__(self, width: int, config: TransformerConfig):
        super().__init__()
        hidden = config.feed_forward or 2 * width
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = linear(width, width)
        self.key_value = linear(width, 2 * width)
        self.output = linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(linear(width, hidden), nn.ReLU(), linear(hidden, width))
        self.dropout = nn.Dropout(config.dropout)

    def keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The normed input, and each head's keys and values of it, (..., heads, width / heads)."""
        normed = self.attention_norm(x)
        keys, values = split_heads(self.key_value(normed), self.heads, 2)
        return normed, keys, values

    def queries(self, normed: Tensor) -> Tensor:
        """Each head's queries, in the shape of its keys."""
        return split_heads(self.query(normed), self.heads, 1)[0]

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Both residuals; ``attended`` is (..., heads, width / heads)."""
        x = x + self.dropout(self.output(attended.flatten(-2)))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class TransformerReader(nn.Module):
    """Layers in which events see all events of their history, and a candidate sees these and itself.

    What a history gives a layer, keys and values, does not depend on a candidate, so that it is computed once for
    all of a request's candidates, and a candidate's score does not depend on which others there are: the attention
    mask of X's released ranker (xai-org/x-algorithm, phoenix, 2026, candidate isolation), but that the viewer's own
    features join behind and not as a token. All candidates have the same position; an event has a learned one by its
    recency, 0 for the newest, where that ranker rotates (RoPE). Nobody reads what the last layer would make of the
    events, so it is not computed. Of an empty history a candidate sees itself alone.

    Shape:
        events: see `Events`; candidate: (rows, width); returns (rows, width), behind a last norm.
    """

    def __init__(self, width: int, max_length: int, config: TransformerConfig):
        super().__init__()
        self.out_features = width
        self.positions = nn.Parameter(torch.empty(max_length, width).normal_(std=_POSITION_STD))
        self.layers = nn.ModuleList(TransformerLayer(width, config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, events: Events, candidate: Tensor) -> Tensor:
        history = events.vectors + self.positions[: events.vectors.shape[1]]
        # An empty history's first padding sees itself: a softmax of nothing is not a number.
        newest = torch.arange(history.shape[1], device=history.device) == 0
        visible = (events.present | newest)[:, None, None]
        present = events.by_row(events.present).unsqueeze(-1)
        x = candidate
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, TransformerLayer)
            normed, keys, values = layer.keys_and_values(history)
            x = layer.finish(x, _attend(layer, x, events.by_row(keys), events.by_row(values), present))
            if number + 1 < len(self.layers):
                query, key, value = (one.transpose(1, 2) for one in (layer.queries(normed), keys, values))
                seen = scaled_dot_product_attention(query, key, value, attn_mask=visible)
                history = layer.finish(history, seen.transpose(1, 2))
        return self.norm(x)


def _attend(layer: TransformerLayer, x: Tensor, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
    """What candidates see, (rows, heads, width / heads): the events of their histories, and themselves."""
    normed, own_key, own_value = layer.keys_and_values(x)
    query = layer.queries(normed)
    of_events = scores_of_events(query, keys, present)
    of_itself = (query * own_key).sum(dim=-1).unsqueeze(1) / math.sqrt(query.shape[-1])
    weights = torch.softmax(torch.cat([of_itself, of_events], dim=1), dim=1)
    return weights[:, 0].to(own_value.dtype).unsqueeze(-1) * own_value + weigh(weights[:, 1:], values)
