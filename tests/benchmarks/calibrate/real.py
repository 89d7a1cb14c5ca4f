"""Calibration of models of real data, on rows that neither model nor calibrator has seen, beside scikit-learn's.

``python -m tests.benchmarks.calibrate.real [--data DIR] [--sets census,kuairand]``
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from components.calibrate.calibrate import calibrate_model
from components.train.train import train_model
from recap_model import load_model, metrics
from recap_model.data.dataset.reader import DatasetReader
from tests.benchmarks.calibrate.measure import METHODS, Array, scikit_learn
from tests.benchmarks.quality.sets import CONFIGS, IMPORTERS, Built, build_set, import_set

_DATA = Path(__file__).parents[4] / "shared" / "data"


def logits(built: Built, model: str, rows: str) -> tuple[Array, Array]:
    """Logits of a model's calibrated probabilities, and labels, of one of the sets: (rows, tasks) each."""
    ranking = load_model(built.folder / model)
    reader = DatasetReader(built.folder / rows, ranking.tasks, 8192, config=built.config)
    said, labels = [], []
    with torch.inference_mode():
        for _, batch in reader.batches_with_rows():
            assert batch.labels is not None
            said.append(torch.logit(ranking(batch)["calibrated_probabilities"].double(), eps=1e-9).numpy())
            labels.append(batch.labels.double().numpy())
    return np.concatenate(said), np.concatenate(labels)


def table_of(name: str, data: Path, folder: Path) -> Iterator[str]:
    """The lines of a data set's table."""
    with contextlib.redirect_stdout(sys.stderr):
        built = build_set(CONFIGS / f"{name}.yaml", import_set(name, data, folder), folder / "built")
        train_model(built.snapshot, built.folder / "train", built.folder / "model")
        reports = calibrate_model(
            built.snapshot, built.folder / "model", built.folder / "calibration", built.folder / "calibrated"
        )
        fitted_on, fitted_labels = logits(built, "model", "calibration")
        before, labels = logits(built, "model", "test")
        after, _ = logits(built, "calibrated", "test")
    yield f"\n{name}: {len(fitted_labels):,} calibration rows, {len(labels):,} test rows\n"
    heads = ["before", "**ours**, `auto`", *(f"scikit-learn, {method}" for method in METHODS)]
    yield f"| task (positives) | | {' | '.join(heads)} |"
    yield "|---|---|" + "---|" * len(heads)
    for number, task in enumerate(built.config.tasks):
        label = labels[:, number]
        columns = [before[:, number], after[:, number]]
        for method in METHODS:
            known = ~np.isnan(fitted_labels[:, number])
            rows = fitted_on[known, number], fitted_labels[known, number]
            columns.append(scikit_learn(method, *rows, others=before[:, number])[1])
        method = reports[number].calibration.method
        title = f"{task} ({int(np.nansum(label)):,}; {method})"
        for what, metric, style in (
            ("log loss", metrics.log_loss, ".5f"),
            ("debiased ECE", metrics.expected_calibration_error, "+.4f"),
            ("predicted / observed", metrics.calibration_ratio, ".3f"),
        ):
            cells = (format(metric(label, 1 / (1 + np.exp(-column))), style) for column in columns)
            yield f"| {title} | {what} | {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibrate.real")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RECAP_DATA_DIR", _DATA)))
    parser.add_argument("--sets", default=",".join(IMPORTERS))
    arguments = parser.parse_args()
    for name in arguments.sets.split(","):
        with tempfile.TemporaryDirectory() as folder:
            for line in table_of(name, arguments.data, Path(folder)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
