"""One measurement of evaluate's metrics, as JSON on standard output: its time and its peak memory."""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.common.artifacts.score_table import ScoreTable, open_score_writer, read_scores
from recap_model.config import RecapConfig
from tests.tiny import tiny_config

TASKS = 10
_BLOCK = 1 << 17
_LISTS_OF = 20


def config_of(tasks: int) -> RecapConfig:
    """Ten tasks, no slices."""
    names = {f"task_{number}": {"score_weight": 1.0 + number} for number in range(tasks)}
    return tiny_config(tasks=names, evaluation={"bootstrap_replicates": 20})


def write(path: Path, rows: int) -> None:
    """A score table of two models that are alike: rates of 1 to 30 %, lists of 20, ten lists a user."""
    with open_score_writer(path) as table:
        for first in range(0, rows, _BLOCK):
            table.write(_block(first, min(_BLOCK, rows - first)))


def _block(first: int, rows: int) -> pa.RecordBatch:
    random = np.random.default_rng(first)
    request = (first + np.arange(rows)) // _LISTS_OF
    columns: dict[str, np.ndarray] = {"request": request, "user": request // 10}
    score = {model: np.zeros(rows, np.float32) for model in ("candidate", "champion")}
    for number in range(TASKS):
        truth = random.normal(-4.5 + 0.35 * number, 1.0, rows)
        columns[f"label/task_{number}"] = (random.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.float32)
        columns[f"weight/task_{number}"] = random.choice(np.array([1.0, 2.0], np.float32), rows)
        for model, total in score.items():
            said = (1 / (1 + np.exp(-truth - random.normal(0.0, 0.3, rows)))).astype(np.float32)
            columns[f"{model}/task_{number}"] = said
            total += (1.0 + number) * said
    columns |= {f"score/{model}": total for model, total in score.items()}
    return pa.RecordBatch.from_pydict(columns)


def _alone(table: ScoreTable) -> ScoreTable:
    """The table without its champion."""
    names = [name for name in table.names if not name.startswith("champion/") and name != "score/champion"]
    return ScoreTable(table.path, table.rows, table.tasks, table.slices, names)


def _alone_measured(table: ScoreTable) -> None:
    """Every metric and sum for the bootstrap, but those within users and lists."""
    from components.common.metrics.accumulate import accumulate

    for sums in accumulate(table):
        values = sums.models["candidate"].values
        assert values is not None
        assert values["auc"] > 0.6


def _compared(table: ScoreTable, config: RecapConfig) -> None:
    """All that evaluate measures: two models, bootstrap, users, lists."""
    from components.common.metrics.task_metrics import measure

    found, _ = measure(table, config)
    assert found.tasks["task_0"].difference is not None
    assert found.tasks["task_0"].difference.interval.rce


def _scikit_learn(table: ScoreTable) -> None:
    """Four metrics of the same rows, a task at a time."""
    import pyarrow.parquet as pq
    from sklearn import metrics

    for task in table.tasks:
        read = pq.read_table(
            table.path, columns=[f"{kind}/{task}" for kind in ("label", "candidate", "weight")]
        )
        label, said, weight = (column.to_numpy() for column in read.columns)
        metrics.roc_auc_score(label, said, sample_weight=weight)
        metrics.average_precision_score(label, said, sample_weight=weight)
        metrics.log_loss(label, said, sample_weight=weight)
        metrics.brier_score_loss(label, said, sample_weight=weight)


def main() -> None:
    """``measure WHAT PATH``: what is ``alone``, ``compared`` or ``scikit-learn``; ``write`` makes the table."""
    what, path = sys.argv[1], Path(sys.argv[2])
    config = config_of(TASKS)
    if what == "write":
        return write(path, int(sys.argv[3]))
    table = read_scores(path, config)
    start = time.perf_counter()
    match what:
        case "alone":
            _alone_measured(_alone(table))
        case "compared":
            _compared(table, config)
        case "scikit-learn":
            _scikit_learn(table)
    seconds = time.perf_counter() - start
    busy = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps({"rows_per_s": table.rows / seconds, "seconds": seconds, "cpu_s": busy, "peak_mb": peak})
    )
    return None


if __name__ == "__main__":
    main()
