"""The matrix of steps and faults: ``python -m tests.chaos``; ``--help`` lists the options."""

import argparse
import collections
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.faults import FAULTS, applies, disturb
from tests.chaos.harness import Harness
from tests.chaos.pipeline_run import WORK
from tests.chaos.promoters import new_race, race
from tests.chaos.proxy import mlflow_behind_proxy

Counts = dict[tuple[str, str], collections.Counter[str]]


@contextlib.contextmanager
def start_harnesses() -> Iterator[list[Harness]]:
    """One with SQLite, and one with a server."""
    with tempfile.TemporaryDirectory() as with_sqlite, tempfile.TemporaryDirectory() as with_server:
        server = Path(with_server) / "server"
        server.mkdir()
        with mlflow_behind_proxy(server) as (uri, process, proxy):
            yield [Harness(Path(with_sqlite)), Harness(Path(with_server), uri, process, proxy)]


def run_matrix(rounds: int, seed: int, steps: list[str], faults: list[str]) -> tuple[Counts, list[str]]:
    """Count how the steps ended under each fault over all rounds, and list what they did wrong."""
    counts: Counts = collections.defaultdict(collections.Counter)
    wrong: list[str] = []
    with start_harnesses() as harnesses:
        for harness in harnesses:
            for step in steps:
                for fault in faults:
                    if not applies(fault, step, harness.server is not None):
                        continue
                    for number in range(rounds):
                        try:
                            counts[step, fault][disturb(harness, step, fault, seed + number)] += 1
                        except AssertionError as error:
                            counts[step, fault]["WRONG"] += 1
                            wrong.append(str(error))
                    print(step, fault, dict(counts[step, fault]), file=sys.stderr, flush=True)  # noqa: T201
    return counts, wrong


def render_table(counts: Counts, steps: list[str]) -> Iterator[str]:
    """The matrix as Markdown."""
    yield f"| | {' | '.join(FAULTS)} |"
    yield "|---" * (len(FAULTS) + 1) + "|"
    for step in steps:
        cells = (
            ", ".join(f"{how} {n}" for how, n in sorted(counts[step, fault].items())) for fault in FAULTS
        )
        yield f"| **{step}** | {' | '.join(cell or '–' for cell in cells)} |"


def main() -> None:
    """Print the matrix, what was wrong, and the races; exit status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", default=",".join(WORK))
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--races", type=int, default=0, help="of eight promoters at the same time")
    arguments = parser.parse_args()
    steps = arguments.steps.split(",")
    counts, wrong = run_matrix(arguments.rounds, arguments.seed, steps, arguments.faults.split(","))
    for line in (*render_table(counts, steps), *wrong):
        print(line)  # noqa: T201
    if arguments.races:
        with tempfile.TemporaryDirectory() as folder:
            print("races", dict(race(new_race(Path(folder), arguments.races), "m", arguments.races)))  # noqa: T201
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
