"""Simulate a hundred retrainings of one policy after another, on the same days, and print how far they fall."""

import argparse
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.common import registry
from components.common.artifacts.score_table import open_score_writer, read_scores
from components.common.metrics.task_metrics import measure
from components.common.registry.anchor import choose_anchor
from components.common.registry.promotion.promotion_log import Promotion
from components.evaluate.gate import decide
from components.evaluate.gate.comparison import is_better_than_anchor
from recap_model.config import RecapConfig
from recap_model.metrics import relative_cross_entropy
from tests.benchmarks.gate.__main__ import ROWS_OF_USER, USERS, labels_of, predictions_of
from tests.tiny import tiny_config

RETRAININGS, TASKS, NOISE = 100, 3, 0.5
# What each retraining adds to the noise of a model's log odds; 0.001 is worth 0.01 points of RCE.
SCENARIOS = {"equal": 0.0, "each a little worse": 0.001}
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "`better`": {"promote_if": "better"},
    "`no_worse`, no anchor": {"anchor_champions": None},
    "`no_worse` (the default)": {},
}


def config_of(policy: Mapping[str, Any]) -> RecapConfig:
    """The tasks, and the gate's defaults but for the policy."""
    names = {f"task_{number}": {"score_weight": 1.0} for number in range(TASKS)}
    return tiny_config(tasks=names, evaluation={"bootstrap_replicates": 100, "gate": dict(policy)})


def day(seed: list[int], versions: Mapping[str, tuple[int, float]]) -> pa.RecordBatch:
    """A day's test rows: the same labels for every policy, and for each version its own noise."""
    random = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {"user": np.repeat(np.arange(USERS), ROWS_OF_USER)}
    for number in range(TASKS):
        truth, label = labels_of(random)
        columns[f"label/task_{number}"] = label
        columns[f"weight/task_{number}"] = np.ones(len(label), np.float32)
        for model, (version, noise) in versions.items():
            own = np.random.default_rng([*seed, version, number])
            columns[f"{model}/task_{number}"] = predictions_of(truth, noise, own)
    for model in versions:
        total = sum(columns[f"{model}/task_{number}"] for number in range(TASKS))
        columns[f"score/{model}"] = np.asarray(total, np.float32)
    return pa.RecordBatch.from_pydict(columns)


def retrain(policy: str, step: float, series: int) -> tuple[float, float, float]:
    """How often a candidate was promoted, and how far the champion was below the best: at the end, and at worst.

    The noise of version n is ``NOISE + n * step``; the distance is in points of RCE.
    """
    config = config_of(POLICIES[policy])
    gate, tasks = config.evaluation.gate, list(config.tasks)
    moves = [_promotion(1, 1)]
    tags: dict[str, dict[str, str]] = {"1": {registry.OUTCOME_TAG: "PROMOTE"}}
    champion, worst = 1, 1
    for version in range(2, RETRAININGS + 2):
        anchor = champion
        if gate.anchor_champions is not None and gate.has_anchor:
            anchor = int(choose_anchor(moves, tags, str(champion), gate.anchor_champions))
        models = {"candidate": version, "champion": champion} | (
            {"anchor": anchor} if anchor != champion else {}
        )
        noises = {name: (one, NOISE + one * step) for name, one in models.items()}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scores.parquet"
            with open_score_writer(path) as table:
                table.write(day([series, version], noises))
            measured, _ = measure(read_scores(path, config), config)
        outcome, _, _ = decide(measured, gate, tasks, str(champion), anchor=str(anchor))
        better = is_better_than_anchor(measured, tasks, gate, anchor == champion)
        tags[str(version)] = {
            registry.OUTCOME_TAG: outcome,
            registry.BETTER_TAG: "yes" if better else "no",
        }
        if outcome == "PROMOTE":
            moves.append(_promotion(len(moves) + 1, version))
            champion = version
            worst = max(worst, version)
    promoted = (len(moves) - 1) / RETRAININGS
    best = true_rce(NOISE + step)
    return promoted, best - true_rce(NOISE + champion * step), best - true_rce(NOISE + worst * step)


def _promotion(number: int, version: int) -> Promotion:
    return Promotion(
        number=number,
        after=number - 1,
        source=None,
        to=str(version),
        applied=True,
        why="no worse",
        decision="d",
    )


def true_rce(noise: float) -> float:
    """The RCE of a model of this noise, over two million rows."""
    random = np.random.default_rng(1)
    truth = random.normal(-2.0, np.hypot(1.0, 0.7), 2_000_000)
    label = random.random(len(truth)) < 1.0 / (1.0 + np.exp(-truth))
    return relative_cross_entropy(label.astype(np.float32), predictions_of(truth, noise, random))


def main() -> None:
    """Every policy over every scenario."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gate.retrainings")
    parser.add_argument("--series", type=int, default=3)
    options = parser.parse_args()
    print(
        "| retrainings | policy | promoted | champion below the best, end | at worst |\n|---|---|---|---|---|"
    )
    with ProcessPoolExecutor(2) as pool:
        for scenario, step in SCENARIOS.items():
            for policy in POLICIES:
                results = list(pool.map(partial(retrain, policy, step), range(options.series)))
                promoted, end, worst = np.mean(results, axis=0)
                print(f"| {scenario} | {policy} | {promoted:.0%} | {end:.2f} | {worst:.2f} |", flush=True)


if __name__ == "__main__":
    main()
