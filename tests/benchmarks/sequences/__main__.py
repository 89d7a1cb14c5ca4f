"""A training step, and a request of 1,500 candidates with one history, with each reader beside no history.

``python -m tests.benchmarks.sequences [--events 10] [--batch 1024] [--rounds 12]``

The net of kuairand.yaml, tables by row-wise Adagrad, one thread; milliseconds of CPU time, the least of the rounds
taken in turns.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from recap_model import RecapBatch, RecapConfig, build_loss, create_ranking_model, data_spec
from recap_model.config import load_config, parse_config
from recap_model.model.model_and_loss import ModelAndLoss
from recap_model.optim import build_optimizer
from tests.recap_model.sequences import HISTORY, READERS, histories

CANDIDATES = 1500
_CONFIG = Path(__file__).parents[3] / "pipeline" / "configs" / "kuairand.yaml"
_TABLES = {
    "item": {"num_embeddings": 20_000, "embedding_dim": 16, "hash": True},
    "author": {"num_embeddings": 10_000, "embedding_dim": 16, "hash": True},
    "surface": {"num_embeddings": 16, "embedding_dim": 4},
}
_ONE_LAYER: dict[str, Any] = {"transformer_config": {"layers": 1}}
_READERS: dict[str, Any] = {"none": None, **READERS, "transformer of one layer": _ONE_LAYER}


def config_with(reader: Any, events: int) -> RecapConfig:
    """The config, with a history of six properties if there is a reader."""
    content = load_config(_CONFIG).model_dump(exclude_none=True)
    content["optimizer"]["embeddings"] = {"learning_rate": {"constant": 0.05}}
    if reader is None:
        return parse_config(content)
    content["features"]["sequences"] = {"history": HISTORY | {"max_length": events}}
    content["features"].setdefault("timestamps", {}).setdefault("impressed", "impressed_ms")
    inputs = {key: {"table": key} for key in _TABLES} | {"actions": {}, "dwell_s": {}, "time": {}}
    how = {"width": 16, "inputs": inputs, "reader": reader}
    if not {"sum_config", "mean_config"} & reader.keys():
        how["candidate"] = {"item": 0, "author": 1}
    content["model"] |= {"tables": _TABLES, "sequences": {"history": how}}
    return parse_config(content)


def random_rows(config: RecapConfig, rows: int, events: int, shared: bool) -> RecapBatch:
    """Rows with a full history each, or one for all."""
    random = torch.Generator().manual_seed(0)
    groups = {group: torch.randn(rows, width, generator=random) for group, width in data_spec(config).items()}
    if "discrete" in groups:
        groups["discrete"] = torch.randint(0, 1000, groups["discrete"].shape, generator=random)
    labels = (torch.rand(rows, len(config.tasks), generator=random) < 0.1).float()
    batch = RecapBatch(**groups, labels=labels, weights=torch.ones_like(labels), sequences=None)
    if not config.model.sequences:
        return batch
    sides = histories(1 if shared else rows, events)
    sides["length"] = torch.full_like(sides["length"], events)
    history_row = torch.zeros(rows, dtype=torch.int64) if shared else None
    return RecapBatch(**batch.tensors(), sequences={"history": sides}, history_row=history_row)


def runs(reader: Any, batch: int, events: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """A training step, and a request."""
    config = config_with(reader, events)
    torch.manual_seed(0)
    module = create_ranking_model(data_spec(config), config, "cpu", loss_fn=build_loss(config))
    assert isinstance(module, ModelAndLoss)
    optimizer = build_optimizer(module, config.optimizer)
    rows, request = random_rows(config, batch, events, False), random_rows(config, CANDIDATES, events, True)

    def step() -> None:
        module.train()
        optimizer.zero_grad()
        module(rows)[0].backward()
        optimizer.step()

    def score() -> None:
        module.eval()
        with torch.inference_mode():
            module.model(request)

    return step, score


def main() -> None:
    """Print a row for each reader."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sequences", description=__doc__)
    parser.add_argument("--events", type=int, default=10)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    both = {name: runs(reader, arguments.batch, arguments.events) for name, reader in _READERS.items()}
    least = {name: [float("inf")] * 2 for name in both}
    for turn in range(arguments.rounds + 2):
        for name, pair in both.items():
            for place, run in enumerate(pair):
                began = time.process_time()
                run()
                if turn > 1:
                    least[name][place] = min(least[name][place], (time.process_time() - began) * 1e3)
    print(
        f"\n| {arguments.events} events | step, ms | × none | request of {CANDIDATES:,}, ms | × none |"
        "\n|---|---|---|---|---|"
    )
    for name, (step, score) in least.items():
        print(
            f"| {name} | {step:.1f} | {step / least['none'][0]:.2f} | {score:.1f} | {score / least['none'][1]:.2f} |"
        )


if __name__ == "__main__":
    main()
