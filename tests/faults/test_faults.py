"""One fault for each step; `python -m tests.faults` tries all of them, many times."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.faults import Bench, applies, disturb
from tests.faults.place import STEPS
from tests.faults.proxy import served

FAULT_OF = {
    "resolve": "disk full",
    "validate": "input gone",
    "prepare": "SIGKILL",
    "train": "input cut off",
    "calibrate": "SIGTERM",
    "evaluate": "no permission",
    "register": "disk full",
    "promote": "clock",
}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    # Not pytest's folders, which no other user may enter.
    with TemporaryDirectory() as folder:
        yield Bench(Path(folder))


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_disturbed_step_says_so_in_a_line_and_then_finishes_as_if_nothing_had_been(bench: Bench, step: str):
    fault = FAULT_OF[step]
    if not applies(fault, step, server=False):
        pytest.skip(f"{fault}: needs root")
    disturb(bench, step, fault, seed=0)


@pytest.fixture(scope="module")
def served_bench() -> Iterator[Bench]:
    with TemporaryDirectory() as folder:
        server = Path(folder) / "server"
        server.mkdir()
        with served(server) as (uri, process, proxy):
            yield Bench(Path(folder), uri, process, proxy)


@pytest.mark.long
@pytest.mark.parametrize(
    ("step", "fault", "how"),
    [
        ("train", "server hangs", "goes on"),
        ("evaluate", "server hangs", "decides ERROR"),
        ("promote", "answers lost", "refused"),
    ],
)
def test_a_server_that_falls_silent_is_waited_for_no_longer_than_it_takes_to_say_so(
    served_bench: Bench, step: str, fault: str, how: str
):
    assert disturb(served_bench, step, fault, seed=1) == how


def test_a_step_that_comes_out_otherwise_is_found(bench: Bench):
    disturb(bench, "calibrate", "clock", seed=0)
    bench.expected["calibrate"]["calibrated/weights.safetensors"] = "another digest"
    with pytest.raises(
        AssertionError, match=r"calibrate, clock, seed 0: .* calibrated/weights.safetensors follow the"
    ):
        disturb(bench, "calibrate", "clock", seed=0)
    del bench.expected["calibrate"]
