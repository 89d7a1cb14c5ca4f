"""A planted problem: two tasks of known interactions, of which they share one with opposite signs."""

from typing import Any, NamedTuple

import torch

from recap_model import build_loss, create_ranking_model
from recap_model.config.model.network import ModelConfig
from recap_model.data.dataset.batch import RecapBatch


class Fit(NamedTuple):
    """Loss on new rows, and the number of trained parameters."""

    loss: float
    parameters: int


def planted_rows(rows: int, seed: int) -> RecapBatch:
    """Eight normal inputs, given as continuous ones, and the last four as an embedding too."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 8, generator=random)
    like = 2.0 * (x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3])
    reply = 2.0 * (x[:, 4] * x[:, 5] - x[:, 2] * x[:, 3])
    logits = torch.stack([like, reply], dim=1)
    labels = (torch.rand(rows, 2, generator=random) < torch.sigmoid(logits)).float()
    return RecapBatch(continuous=x, user_embedding=x[:, 4:], labels=labels)


def fit_planted(config: ModelConfig, widths: dict[str, int], seed: int = 0) -> Fit:
    """Train for ten epochs on 8192 rows, and measure on as many others."""
    torch.manual_seed(seed)
    module = create_ranking_model(widths, config, "cpu", build_loss(config))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02, fused=True)
    train = planted_rows(8192, seed=1)
    for step in range(160):
        start = 512 * step % 8192
        optimizer.zero_grad()
        module(train[start : start + 512])[0].backward()
        optimizer.step()
    with torch.no_grad():
        loss, _ = module.eval()(planted_rows(8192, seed=2))
    return Fit(loss.item(), sum(parameter.numel() for parameter in module.parameters()))


def hidden_layers(*sizes: int) -> dict[str, Any]:
    return {"mlp_config": {"layer_sizes": list(sizes), "final_layer_activation": True}}
