"""``python -m tests.faults [--rounds 5] [--seed 0] [--steps prepare,train] [--faults clock]``: the matrix."""

import argparse
import collections
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.faults import FAULTS, Bench, applies, disturb
from tests.faults.place import STEPS
from tests.faults.proxy import served

Counts = dict[tuple[str, str], collections.Counter[str]]


@contextlib.contextmanager
def benches() -> Iterator[list[Bench]]:
    """One with SQLite, and one with a server."""
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        server = Path(there) / "server"
        server.mkdir()
        with served(server) as (uri, process, proxy):
            yield [Bench(Path(here)), Bench(Path(there), uri, process, proxy)]


def count(rounds: int, seed: int, steps: list[str], faults: list[str]) -> tuple[Counts, list[str]]:
    """How steps took faults, so many times each; and what they did wrong."""
    counts: Counts = collections.defaultdict(collections.Counter)
    wrong: list[str] = []
    with benches() as both:
        for bench in both:
            for step in steps:
                for fault in faults:
                    if not applies(fault, step, bench.server is not None):
                        continue
                    for number in range(rounds):
                        try:
                            counts[step, fault][disturb(bench, step, fault, seed + number)] += 1
                        except AssertionError as error:
                            counts[step, fault]["WRONG"] += 1
                            wrong.append(str(error))
                    print(step, fault, dict(counts[step, fault]), file=sys.stderr, flush=True)  # noqa: T201
    return counts, wrong


def table(counts: Counts, steps: list[str]) -> Iterator[str]:
    """The matrix as Markdown."""
    yield f"| | {' | '.join(FAULTS)} |"
    yield "|---" * (len(FAULTS) + 1) + "|"
    for step in steps:
        cells = (
            ", ".join(f"{how} {n}" for how, n in sorted(counts[step, fault].items())) for fault in FAULTS
        )
        yield f"| **{step}** | {' | '.join(cell or '–' for cell in cells)} |"


def main() -> None:
    """Print the matrix, and what was wrong; exit status 1 if anything was."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--faults", default=",".join(FAULTS))
    arguments = parser.parse_args()
    steps = arguments.steps.split(",")
    counts, wrong = count(arguments.rounds, arguments.seed, steps, arguments.faults.split(","))
    for line in (*table(counts, steps), *wrong):
        print(line)  # noqa: T201
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
