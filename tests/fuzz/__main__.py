"""``python -m tests.fuzz [--minutes 10] [--target NAME] [--seed 0]``: what was read, refused, or went wrong."""

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.alterations import altered
from tests.fuzz.corpus import write_corpus
from tests.fuzz.targets import TARGETS, read_altered


def fuzz(folder: Path, name: str, number: int) -> tuple[collections.Counter[str], set[str]]:
    """Try a target some times. Returns how often it was read and refused, and what went wrong."""
    files = TARGETS[name].found(folder)
    seen, wrong = collections.Counter[str](), set[str]()

    @seed(number)
    @settings(
        max_examples=2 * TARGETS[name].cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(files))
        change = data.draw(altered(file.read_bytes(), file.suffix))
        try:
            seen["refused" if read_altered(folder, name, file, change) else "read"] += 1
        except AssertionError as error:
            seen["WRONG"] += 1
            wrong.add(str(error)[:600])

    tried()
    return seen, wrong


def main() -> None:
    """Print a line for each target, and what went wrong; exit status 1 if anything did."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--target", choices=sorted(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    names = [arguments.target] if arguments.target else list(TARGETS)
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    wrong: set[str] = set()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "corpus"
        write_corpus(folder)
        end, number = time.monotonic() + 60 * arguments.minutes, arguments.seed
        while time.monotonic() < end:
            for name in names:
                seen, found = fuzz(folder, name, number)
                counts[name].update(seen)
                wrong |= found
            number += 1
    for name, seen in counts.items():
        print(name, dict(seen))  # noqa: T201
    for line in sorted(wrong):
        print(line)  # noqa: T201
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
