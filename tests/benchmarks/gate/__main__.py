"""Simulate pairs of models on fresh test rows, measure and decide as the pipeline does, and print a table."""

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.common.artifacts.score_table import open_score_writer, read_scores
from components.common.metrics.task_metrics import measure
from components.evaluate.gate import decide
from recap_model.config import RecapConfig
from tests.tiny import tiny_config

TASKS, USERS, ROWS_OF_USER = 5, 2500, 20
_NOISE = 0.5
# Log odds of noise that the candidate has less than the champion; RCE in percent that it is worth.
GAINS = (0.0, 0.02, 0.05, 0.1, -0.05)


def config_of() -> RecapConfig:
    """Five tasks, the gate's defaults."""
    names = {f"task_{number}": {"score_weight": 1.0} for number in range(TASKS)}
    return tiny_config(tasks=names, evaluation={"bootstrap_replicates": 100})


def pair(seed: int, gain: float) -> pa.RecordBatch:
    """Test rows of users who differ, and two models that know the truth but for noise of their own."""
    random = np.random.default_rng([seed, int(1000 * (gain + 1))])
    user = np.repeat(np.arange(USERS), ROWS_OF_USER)
    columns: dict[str, np.ndarray] = {"user": user}
    for number in range(TASKS):
        truth, columns[f"label/task_{number}"] = labels_of(random)
        columns[f"weight/task_{number}"] = np.ones(len(user), np.float32)
        for model, noise in (("candidate", _NOISE - gain), ("champion", _NOISE)):
            columns[f"{model}/task_{number}"] = predictions_of(truth, noise, random)
    for model in ("candidate", "champion"):
        total = sum(columns[f"{model}/task_{number}"] for number in range(TASKS))
        columns[f"score/{model}"] = np.asarray(total, np.float32)
    return pa.RecordBatch.from_pydict(columns)


def labels_of(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """True log odds of rows of users who differ, and labels."""
    user = np.repeat(np.arange(USERS), ROWS_OF_USER)
    truth = random.normal(-2.0, 1.0, len(user)) + random.normal(0.0, 0.7, USERS)[user]
    return truth, (random.random(len(user)) < _sigmoid(truth)).astype(np.float32)


def predictions_of(truth: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    """A calibrated model of a noisy view of normal log odds: it shrinks the view towards the mean."""
    view = truth + random.normal(0.0, noise, len(truth))
    spread = 1.0 + 0.7**2
    shrunk = -2.0 + (view + 2.0) * spread / (spread + noise**2)
    return _sigmoid(shrunk).astype(np.float32)


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-odds))


def decided(gain: float, seed: int) -> tuple[bool, float, bool]:
    """Whether the pair's candidate is promoted, its mean gain in RCE, and whether it is so by `no_worse`."""
    config = config_of()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.parquet"
        with open_score_writer(path) as table:
            table.write(pair(seed, gain))
        measured, _ = measure(read_scores(path, config), config)
    gate = config.evaluation.gate
    better = gate.model_copy(update={"promote_if": "better"})
    outcomes = [decide(measured, policy, list(config.tasks), "1")[0] for policy in (better, gate)]
    gains = [found.difference.rce for found in measured.tasks.values() if found.difference]
    return outcomes[0] == "PROMOTE", float(np.mean(gains)), outcomes[1] == "PROMOTE"


def main() -> None:
    """A thousand pairs of equal models, and a fifth of that for each gain."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gate")
    parser.add_argument("--pairs", type=int, default=1000)
    options = parser.parse_args()
    print(
        "| pairs | mean gain in RCE, points | promoted by `promote_if: better` | by `no_worse` |\n|---|---|---|---|"
    )
    with ProcessPoolExecutor(2) as pool:
        for gain in GAINS:
            pairs = options.pairs if gain == 0.0 else options.pairs // 5
            found = list(pool.map(partial(decided, gain), range(pairs), chunksize=5))
            better, gains, newer = (np.mean(values) for values in zip(*found, strict=True))
            print(f"| {pairs} | {gains:+.2f} | {better:.1%} | {newer:.1%} |", flush=True)


if __name__ == "__main__":
    main()
