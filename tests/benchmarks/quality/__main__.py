"""Run the benchmark: ``python -m tests.benchmarks.quality [--data DIR] [--sets census,kuairand] [--seeds 3]``.

With ``--sharing`` the config is tried with every way of sharing, with ``--histories`` with and without its histories,
with ``--draft`` beside the config that ``recap config draft`` writes, instead of beside scikit-learn's models.
"""

import argparse
import contextlib
import copy
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from components.calibrate.calibrate import calibrate_model
from components.evaluate.evaluate import evaluate_model
from components.train.train import train_model
from recap_model import metrics
from tests.benchmarks.quality import baselines
from tests.benchmarks.quality.drafts import DRAFTED, draft_for, import_drafted
from tests.benchmarks.quality.histories import VARIANTS, Content, paired_intervals
from tests.benchmarks.quality.sets import (
    CONFIGS,
    HISTORIES,
    IMPORTERS,
    Built,
    build_set,
    import_set,
    read_columns,
)
from tests.benchmarks.quality.sharing import SHARING, shared_as

_DATA = Path(__file__).parents[4] / "shared" / "data"
_RANKED_POSITIVES = 250
_MODELS = {
    "constant": baselines.constant,
    "logistic regression": baselines.logistic_regression,
    "boosted trees": baselines.boosted_trees,
}
Figures = tuple[float, float, float, float]


def figures(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> Figures:
    """AUC, log loss, RCE in percent, predicted over observed."""
    measured = (metrics.auc, metrics.log_loss, metrics.relative_cross_entropy, metrics.calibration_ratio)
    values = tuple(metric(labels, predictions) for metric in measured)
    return values[0], values[1], values[2], values[3]


def ours(built: Built) -> dict[str, NDArray[np.float64]]:
    """Calibrated probabilities of every task on the test rows, through the pipeline's own steps."""
    folder = built.folder
    with _progress_on_stderr():
        train_model(built.snapshot, folder / "train", folder / "model")
        calibrate_model(built.snapshot, folder / "model", folder / "calibration", folder / "calibrated")
        evaluate_model(
            built.snapshot,
            folder / "calibrated",
            folder / "test",
            folder / "validated",
            folder / "evaluation",
        )
    table = pq.read_table(folder / "evaluation" / "scores.parquet")
    return {task: table[f"candidate/{task}"].to_numpy().astype(float) for task in built.config.tasks}


def run_set(name: str, data: Path, folder: Path, config_file: Path, seeds: int) -> Iterator[str]:
    """The lines of a data set's table."""
    with _progress_on_stderr():
        log = import_set(name, data, folder)
        built = _with_seeds(config_file, log, folder / "ours", seeds)
    train, test = read_columns(built[0], "train", "calibration"), read_columns(built[0], "test")
    probabilities = [ours(one) for one in built]
    counts = f"{len(train.labels):,} training rows (calibration's among them), {len(test.labels):,} test rows"
    yield f"\n{name}: {counts}\n"
    yield "| task (test positives) | model | AUC | log loss | RCE % | predicted / observed |"
    yield "|---|---|---|---|---|---|"
    for number, task in enumerate(built[0].config.tasks):
        labels = test.labels[:, number]
        positives = int(labels.sum())
        title = f"{task} ({positives:,}{'' if positives >= _RANKED_POSITIVES else ', not ranked'})"
        for model, predict in _MODELS.items():
            values = figures(labels, predict(train, test, number))
            yield (
                f"| {title} | {model} | "
                + " | ".join(_cell([value], i) for i, value in enumerate(values))
                + " |"
            )
        by_seed = [figures(labels, found[task]) for found in probabilities]
        cells = [_cell([values[i] for values in by_seed], i) for i in range(4)]
        yield f"| {title} | **ours**, one model, {seeds} seeds | " + " | ".join(cells) + " |"


def _progress_on_stderr() -> contextlib.AbstractContextManager[object]:
    return contextlib.redirect_stdout(sys.stderr)


def _with_seeds(
    config_file: Path,
    log: Path,
    folder: Path,
    seeds: int,
    change: Callable[[Content], Content] = copy.deepcopy,
) -> list[Built]:
    """The sets of a config, changed, a folder for each seed."""
    built = []
    for seed in range(seeds):
        content = yaml.safe_load(config_file.read_text())
        content["training"] = {**content.get("training", {}), "seed": seed}
        target = folder / f"seed-{seed}"
        target.mkdir(parents=True)
        seeded = target / "config.yaml"
        seeded.write_text(yaml.safe_dump(change(content), sort_keys=False))
        built.append(build_set(seeded, log, target))
    return built


def compare_sharing(name: str, data: Path, folder: Path, config_file: Path, seeds: int) -> Iterator[str]:
    """The lines of a data set's table of sharing types: AUC and log loss of each ranked task."""
    with _progress_on_stderr():
        log = import_set(name, data, folder)
        first = _with_seeds(config_file, log, folder / "labels", 1)[0]
    labels = read_columns(first, "test").labels
    tasks = [
        (number, task)
        for number, task in enumerate(first.config.tasks)
        if labels[:, number].sum() >= _RANKED_POSITIVES
    ]
    yield f"\n{name}: AUC / log loss, mean of {seeds} seeds\n"
    yield f"| sharing | {' | '.join(task for _, task in tasks)} |"
    yield f"|---{'|---' * len(tasks)}|"
    for kind in SHARING:
        with _progress_on_stderr():
            change = functools.partial(shared_as, kind=kind)
            built = _with_seeds(config_file, log, folder / kind, seeds, change)
        found = [ours(one) for one in built]
        cells = []
        for number, task in tasks:
            by_seed = [figures(labels[:, number], one[task]) for one in found]
            cells.append(" / ".join(_cell([values[place] for values in by_seed], place) for place in (0, 1)))
        yield f"| {kind} | {' | '.join(cells)} |"


def compare_histories(name: str, data: Path, folder: Path, config_file: Path, seeds: int) -> Iterator[str]:
    """The lines of a data set's table of histories: AUC and log loss, and differences to the config without."""
    with _progress_on_stderr():
        log = import_set(name, data, folder)
    predictions: dict[str, list[dict[str, NDArray[np.float64]]]] = {}
    for variant, change in VARIANTS.items():
        with _progress_on_stderr():
            built = _with_seeds(config_file, log, folder / variant, seeds, change)
        predictions[variant] = [ours(one) for one in built]
    scores = pq.read_table(built[0].folder / "evaluation" / "scores.parquet")
    user = scores["user"].to_numpy()
    yield f"\n{name}: mean of {seeds} seeds; differences to no history with 95 % intervals over users\n"
    yield "| task (test positives) | model | AUC | log loss | AUC, difference | log loss, difference |"
    yield "|---|---|---|---|---|---|"
    for task in built[0].config.tasks:
        labels = scores[f"label/{task}"].to_numpy().astype(float)
        base = [one[task] for one in predictions["no history"]]
        for variant, by_seed in predictions.items():
            own = [one[task] for one in by_seed]
            found = [figures(labels, one) for one in own]
            cells = [_cell([values[place] for values in found], place) for place in (0, 1)]
            if variant != "no history":
                cells += [
                    f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"
                    for mean, low, high in paired_intervals(labels, user, base, own)
                ]
            else:
                cells += ["", ""]
            yield f"| {task} ({int(labels.sum()):,}) | {variant} | " + " | ".join(cells) + " |"


def compare_draft(name: str, data: Path, folder: Path, config_file: Path, seeds: int) -> Iterator[str]:
    """The lines of a data set's table of the drafted config, beside trees on its columns."""
    with _progress_on_stderr():
        log = import_drafted(name, data, folder)
        draft = draft_for(name, log, config_file, folder / "draft.yaml")
        built = _with_seeds(draft, log, folder / "drafted", seeds)
    train, test = read_columns(built[0], "train", "calibration"), read_columns(built[0], "test")
    found = [ours(one) for one in built]
    yield f"\n{name}: {len(test.labels):,} test rows, {seeds} seeds\n"
    yield "| task (test positives) | model | AUC | log loss |"
    yield "|---|---|---|---|"
    for number, task in enumerate(built[0].config.tasks):
        labels = test.labels[:, number]
        trees = [baselines.boosted_trees(train, test, number)]
        for model, predictions in (("boosted trees", trees), ("draft", [one[task] for one in found])):
            values = [figures(labels, one) for one in predictions]
            cells = " | ".join(_cell([one[place] for one in values], place) for place in (0, 1))
            yield f"| {task} ({int(labels.sum()):,}) | {model} | {cells} |"


def _cell(values: list[float], column: int) -> str:
    digits = (4, 4, 2, 3)[column]
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {np.std(values):.{digits}f}" if len(values) > 1 else text


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RECAP_DATA_DIR", _DATA)))
    parser.add_argument("--sets", help="names, separated by commas; all if not given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--configs", type=Path, default=CONFIGS, help="folder with a NAME.yaml for each set")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--sharing", action="store_true", help="compare the ways of sharing instead")
    modes.add_argument("--histories", action="store_true", help="compare with and without histories instead")
    modes.add_argument("--draft", action="store_true", help="compare with the drafted config instead")
    arguments = parser.parse_args()
    lines_of = run_set
    every = tuple(IMPORTERS)
    if arguments.sharing:
        lines_of = compare_sharing
    elif arguments.histories:
        lines_of, every = compare_histories, HISTORIES
    elif arguments.draft:
        lines_of, every = compare_draft, DRAFTED
    for name in arguments.sets.split(",") if arguments.sets else every:
        with tempfile.TemporaryDirectory() as folder:
            config_file = arguments.configs / f"{name}.yaml"
            for line in lines_of(name, arguments.data, Path(folder), config_file, arguments.seeds):
                print(line, flush=True)


if __name__ == "__main__":
    main()
