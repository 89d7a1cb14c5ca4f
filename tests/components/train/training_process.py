"""The training step in a process that a test can signal, and comparisons of the models it leaves."""

import json
from pathlib import Path

from components.common.runtime.step import step
from components.train.train import train_model
from tests.chaos.processes import ForkedProcess
from tests.datasets import TinySets


def start_training(sets: TinySets, out: Path) -> ForkedProcess:
    """Start the step; its output goes to a file beside ``out``'s folder."""
    output = out.parent.with_name(f"{out.parent.name}.output")
    return ForkedProcess(output, _train, sets.snapshot, sets.train, out)


def _train(snapshot: Path, train: Path, out: Path) -> None:
    with step("train"):
        train_model(snapshot, train, out)


def same_model(left: Path, right: Path) -> bool:
    """Whether two models have the same weights and config, byte for byte."""
    names = ("weights.safetensors", "config.json")
    return all((left / name).read_bytes() == (right / name).read_bytes() for name in names)


def steps_and_losses(model: Path) -> list[tuple[int, float]]:
    """Step and loss of each line of a training log."""
    lines = (json.loads(line) for line in (model / "training.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]
