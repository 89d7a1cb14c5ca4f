"""Run the benchmark: ``python -m tests.benchmarks.tune [--sets census] [--hours 1] [--trials N] [--seeds 3]``.

Drafts a config from a data set's log, tunes it, and measures draft, tuned and hand-set config on the test rows.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from pipeline.experiments.compare import ConfigResult, compare_configs
from pipeline.experiments.frozen_data import FrozenData
from recap_model.config import RecapConfig, load_config
from tests.benchmarks.quality.sets import CONFIGS, IMPORTERS, build_set, import_set

_DATA = Path(__file__).parents[4] / "shared" / "data"


def draft(hand_set: RecapConfig, log: Path, out: Path) -> Path:
    """Write the config that ``recap config draft`` makes of the log, with the hand-set config's split."""
    options: list[str] = []
    for task, settings in hand_set.tasks.items():
        options += ["--task", f"{task}={settings.label or task}"]
    named = {**hand_set.features.ids.model_dump(), **hand_set.features.timestamps.model_dump()}
    for role in ("request", "user", "candidate", "impressed", "served", "engaged"):
        options += [f"--{role}", str(named[role])] if named.get(role) else []
    if (column := getattr(hand_set.data.split, "column", None)) is not None:
        options += ["--leave-out", column]
    recap("config", "draft", "--data", str(log), "--out", str(out), *options)
    content = yaml.safe_load(out.read_text())
    content["data"] = hand_set.data.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    out.write_text(yaml.safe_dump(content, sort_keys=False))
    return out


def recap(*arguments: str) -> str:
    """Run a command; returns what it prints on standard output."""
    main = "import sys; from pipeline.cli import main; sys.argv[0] = 'recap'; main()"
    command = [sys.executable, "-c", main, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(config: Path, log: Path, folder: Path, seeds: int) -> ConfigResult:
    """A config on sets that are prepared for it, a mean over seeds."""
    with contextlib.redirect_stdout(sys.stderr):
        built = build_set(config, log, folder)
        data = FrozenData(built.snapshot, *(folder / name for name in ("train", "calibration", "test")))
        return compare_configs({config.stem: built.config}, data, folder / "models", seeds)[0]


def run_set(name: str, data: Path, folder: Path, arguments: argparse.Namespace) -> Iterator[str]:
    """The lines of a data set's table."""
    with contextlib.redirect_stdout(sys.stderr):
        log = import_set(name, data, folder)
    hand_set = CONFIGS / f"{name}.yaml"
    drafted = draft(load_config(hand_set), log, folder / "draft.yaml")
    limit = ["--trials", str(arguments.trials)] if arguments.trials else ["--hours", str(arguments.hours)]
    options = [
        "--config",
        str(drafted),
        "--data",
        str(log),
        "--workspace",
        str(folder / "ws"),
        "--json",
        *limit,
    ]
    result = json.loads(recap("tune", *options))
    print(result["result"], file=sys.stderr)
    configs = {"hand-set": hand_set, "draft": drafted}
    if result["config"] is not None:
        configs["tuned"] = Path(result["config"])
    found = {kind: measure(path, log, folder / kind, arguments.seeds) for kind, path in configs.items()}
    yield f"\n{name}: {result['result']} Overhead a trial {result['seconds']['overhead_a_trial']:.2f} s.\n"
    yield "| task | " + " | ".join(f"{kind}, AUC | RCE" for kind in found) + " |"
    yield "|---" * (1 + 2 * len(found)) + "|"
    for task in found["hand-set"].tasks:
        each = [measured.tasks[task] for measured in found.values()]
        cells = [f"{one.order or float('nan'):.4f} | {one.gain or float('nan'):.3f}" for one in each]
        yield f"| {task} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=_DATA)
    parser.add_argument("--sets", default="census,kuairand", help=f"of {', '.join(IMPORTERS)}")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--trials", type=int, help="instead of hours")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.sets.split(","):
        with tempfile.TemporaryDirectory() as folder:
            for line in run_set(name, arguments.data, Path(folder), arguments):
                print(line, flush=True)


if __name__ == "__main__":
    main()
