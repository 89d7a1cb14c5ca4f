"""The training step killed at random moments, again and again, and run again until it ends; its weights compared.

``python -m tests.components.train.killing [--seed 0] [--kills 20]`` prints what came of SIGTERM and of SIGKILL. Each
attempt is a process of its own.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from components.common.runtime.step import step
from components.train.train import train_model
from recap_model import RecapConfig
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log

TRY_AGAIN = 75
_LATEST_S = 0.25
TOWER = {"mlp_config": {"layer_sizes": [8, 1], "batch_norm": {"momentum": 0.1}, "dropout": {"rate": 0.2}}}


def config_of(epochs: int = 8) -> RecapConfig:
    """A net whose batch norms, drop-out and average all have a state."""
    return tiny_config(
        model={
            "featurization_config": {"double_norm_log_config": {"clip_magnitude": 5.0}},
            "multi_task_type": "share_all",
            "backbone": {"mlp_config": {"layer_sizes": [16], "final_layer_activation": True}},
            "tower": TOWER,
        },
        training={
            "batch_size": 16,
            "epochs": epochs,
            "checkpoint": {"every_steps": 10},
            "ema_decay": 0.99,
            "threads": 1,
        },
    )


def start(sets: TinySets, out: Path) -> int:
    """Run the step in a process of its own; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 99
    with (out.parent / "said").open("a") as said, contextlib.redirect_stdout(said):
        try:
            with step("train"):
                train_model(sets.snapshot, sets.train, out)
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    os._exit(status)


def wait_for_a_checkpoint(child: int, folder: Path) -> None:
    """Wait until there is one below a folder. Raises AssertionError if the process that is to write it has ended."""
    while not list(folder.rglob("*.checkpoint")):
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.01)


def end_of(child: int) -> int:
    """Exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def same_model(left: Path, right: Path) -> bool:
    """Whether two models have the same weights and config, byte for byte."""
    names = ("weights.safetensors", "config.json")
    return all((left / name).read_bytes() == (right / name).read_bytes() for name in names)


def steps_and_losses(model: Path) -> list[tuple[int, float]]:
    """What a training log says of each step that it has a line of."""
    lines = (json.loads(line) for line in (model / "training.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


@dataclass(frozen=True)
class Outcome:
    """How the attempts ended, and whether the model at the end is that of a training left alone."""

    ends: list[int]
    same_weights: bool
    same_log: bool
    nothing_left: bool

    @property
    def killed(self) -> int:
        """Attempts that the signal ended."""
        return sum(end != 0 for end in self.ends)


def kill_again_and_again(
    sets: TinySets, undisturbed: Path, place: Path, number: signal.Signals, kills: int, seed: int
) -> Outcome:
    """Start the step, send it the signal after a random while, ``kills`` times; then let it end.

    An attempt that ends before it is killed has made the model; another training then begins.
    """
    moments, ends = random.Random(seed * 100 + int(number)), []
    same_weights = same_log = nothing_left = True
    sent = 0
    while sent < kills or ends[-1] != 0:
        child = start(sets, place / "model")
        if sent < kills:
            time.sleep(moments.uniform(0.02, _LATEST_S))
            os.kill(child, number)
            sent += 1
        ends.append(end_of(child))
        if ends[-1] == 0:
            same_weights &= same_model(place / "model", undisturbed)
            same_log &= steps_and_losses(place / "model") == steps_and_losses(undisturbed)
            nothing_left &= sorted(path.name for path in place.iterdir()) == ["model", "said"]
    return Outcome(ends, same_weights, same_log, nothing_left)


def main() -> None:
    """Print a line for each signal; exit with 1 if any weights differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.components.train.killing", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=20, help="of each signal")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, config = Path(name), config_of(epochs=40)
        sets = build_tiny(folder, config, write_tiny_log(folder / "log"))
        train_model(sets.snapshot, sets.train, folder / "undisturbed")
        good = True
        lines = ["| | killed | ends | same weights | same log | nothing left |", "|---|---|---|---|---|---|"]
        for number in (signal.SIGTERM, signal.SIGKILL):
            place = folder / number.name
            place.mkdir()
            outcome = kill_again_and_again(
                sets, folder / "undisturbed", place, number, arguments.kills, arguments.seed
            )
            ends = ", ".join(
                f"{end}: {count}" for end, count in sorted(collections.Counter(outcome.ends).items())
            )
            checks = (outcome.same_weights, outcome.same_log, outcome.nothing_left)
            good &= all(checks) and set(outcome.ends) <= {0, TRY_AGAIN, -number}
            told = " | ".join("yes" if check else "no" for check in checks)
            lines.append(f"| {number.name} | {outcome.killed} of {arguments.kills} | {ends} | {told} |")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
