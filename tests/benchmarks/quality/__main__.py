"""Run the benchmark: ``python -m tests.benchmarks.quality [--data DIR] [--sets census,kuairand] [--seeds 3]``.

With ``--sharing`` the config is tried with every way of sharing, with ``--histories`` with and without its histories,
with ``--draft`` beside the config that ``recap config draft`` writes, instead of beside scikit-learn's models; these
show binary tasks alone.
"""

import argparse
import contextlib
import copy
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from components.calibrate.calibrate import calibrate_model
from components.evaluate.evaluate import evaluate_model
from components.train.train import train_model
from recap_model import metrics
from recap_model.metrics import values
from tests.benchmarks.quality import baselines
from tests.benchmarks.quality.drafts import DRAFTED, draft_for, import_drafted
from tests.benchmarks.quality.histories import VARIANTS, Content, paired_intervals
from tests.benchmarks.quality.sets import (
    CONFIGS,
    HISTORIES,
    IMPORTERS,
    Built,
    Columns,
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
_VALUE_MODELS = {
    "median": baselines.median,
    "boosted trees, absolute error": functools.partial(baselines.boosted_values, loss="absolute_error"),
    "boosted trees, gamma": functools.partial(baselines.boosted_values, loss="gamma"),
    "boosted trees, Poisson": functools.partial(baselines.boosted_values, loss="poisson"),
}
_NAMES = ("AUC", "log loss", "RCE %", "predicted / observed")
_VALUE_NAMES = ("XAUC", "MAE", "RMSE", "predicted / observed")
Predictions = NDArray[np.float64]
Figures = tuple[float, float, float, float]
Measure = Callable[[Predictions, Predictions], Figures]
Predict = Callable[[Columns, Columns, int], Predictions]


def figures(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> Figures:
    """AUC, log loss, RCE in percent, predicted over observed."""
    measured = (metrics.auc, metrics.log_loss, metrics.relative_cross_entropy, metrics.calibration_ratio)
    rows = ~np.isnan(labels)
    values = tuple(metric(labels[rows], predictions[rows]) for metric in measured)
    return values[0], values[1], values[2], values[3]


def value_figures(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> Figures:
    """XAUC, mean absolute error, RMSE, mean prediction over mean label."""
    rows = ~np.isnan(labels)
    label, prediction = labels[rows], predictions[rows]
    absolute = values.mean_absolute_error(label, prediction)
    squared = values.root_mean_squared_error(label, prediction)
    ratio = float(prediction.mean() / label.mean())
    return values.xauc(label, prediction), absolute, squared, ratio


def ours(built: Built) -> dict[str, NDArray[np.float64]]:
    """Calibrated predictions of every task on the test rows, through the pipeline's own steps."""
    folder = built.folder
    with _progress_on_stderr():
        train_model(built.snapshot, folder / "train", folder / "model")
        calibrate_model(built.snapshot, folder / "model", folder / "calibration", folder / "calibrated")
    return _predict(built, "calibrated")


def _predict(built: Built, model: str) -> dict[str, NDArray[np.float64]]:
    folder = built.folder
    out = folder / f"evaluation_of_{model}"
    with _progress_on_stderr():
        evaluate_model(built.snapshot, folder / model, folder / "test", folder / "validated", out)
    table = pq.read_table(out / "scores.parquet")
    return {task: table[f"candidate/{task}"].to_numpy().astype(float) for task in built.config.tasks}


def run_set(name: str, data: Path, folder: Path, config_file: Path, seeds: int) -> Iterator[str]:
    """The lines of a data set's table."""
    with _progress_on_stderr():
        log = import_set(name, data, folder)
        built = _with_seeds(config_file, log, folder / "ours", seeds)
    train, test = read_columns(built[0], "train", "calibration"), read_columns(built[0], "test")
    probabilities = [ours(one) for one in built]
    counts = f"{len(train.labels):,} training rows (calibration's among them), {len(test.labels):,} test rows"
    yield f"\n{name}: {counts}"
    tasks, value_tasks = list(built[0].config.tasks), built[0].config.value_tasks
    kinds: list[tuple[str, list[str], Measure, Mapping[str, Predict], tuple[int, ...]]] = [
        ("positives", [task for task in tasks if task not in value_tasks], figures, _MODELS, (4, 4, 2, 3)),
        ("rows", value_tasks, value_figures, _VALUE_MODELS, (4, 2, 2, 3)),
    ]
    for counted, chosen, measure, models, digits in kinds:
        if not chosen:
            continue
        by_model = {"ours": probabilities}
        if counted == "rows":
            by_model["ours, before calibration"] = [_predict(one, "model") for one in built]
        names = _VALUE_NAMES if chosen == value_tasks else _NAMES
        yield f"\n| task (test {counted}) | model | {' | '.join(names)} |"
        yield f"|---|---|{'---|' * len(names)}"
        for task in chosen:
            number = tasks.index(task)
            labels = test.labels[:, number]
            count = int(np.nansum(labels) if counted == "positives" else (~np.isnan(labels)).sum())
            title = f"{task} ({count:,}{'' if count >= _RANKED_POSITIVES else ', not ranked'})"
            for model, predict in models.items():
                yield _row(title, model, [measure(labels, predict(train, test, number))], digits)
            for model, predictions in by_model.items():
                by_seed = [measure(labels, one[task]) for one in predictions]
                yield _row(title, f"**{model}**, one model, {seeds} seeds", by_seed, digits)


def _row(title: str, model: str, by_seed: list[Figures], digits: tuple[int, ...]) -> str:
    cells = [_cell([one[place] for one in by_seed], decimals) for place, decimals in enumerate(digits)]
    return f"| {title} | {model} | {' | '.join(cells)} |"


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
        if task not in first.config.value_tasks and np.nansum(labels[:, number]) >= _RANKED_POSITIVES
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
            cells.append(" / ".join(_cell([one[place] for one in by_seed], 4) for place in (0, 1)))
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
    scores = pq.read_table(built[0].folder / "evaluation_of_calibrated" / "scores.parquet")
    user = scores["user"].to_numpy()
    yield f"\n{name}: mean of {seeds} seeds; differences to no history with 95 % intervals over users\n"
    yield "| task (test positives) | model | AUC | log loss | AUC, difference | log loss, difference |"
    yield "|---|---|---|---|---|---|"
    for task in built[0].config.tasks:
        if task in built[0].config.value_tasks:
            continue
        labels = scores[f"label/{task}"].to_numpy().astype(float)
        base = [one[task] for one in predictions["no history"]]
        for variant, by_seed in predictions.items():
            own = [one[task] for one in by_seed]
            found = [figures(labels, one) for one in own]
            cells = [_cell([one[place] for one in found], 4) for place in (0, 1)]
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
        if task in built[0].config.value_tasks:
            continue
        labels = test.labels[:, number]
        trees = [baselines.boosted_trees(train, test, number)]
        for model, predictions in (("boosted trees", trees), ("draft", [one[task] for one in found])):
            values = [figures(labels, one) for one in predictions]
            cells = " | ".join(_cell([one[place] for one in values], 4) for place in (0, 1))
            yield f"| {task} ({int(labels.sum()):,}) | {model} | {cells} |"


def _cell(values: list[float], digits: int) -> str:
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
