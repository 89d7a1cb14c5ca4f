"""One fault for each step; `python -m tests.chaos` tries all of them, many times."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.chaos.faults import applies, disturb
from tests.chaos.harness import Harness
from tests.chaos.pipeline_run import WORK, WRITES_REGISTRY
from tests.chaos.proxy import mlflow_behind_proxy

FAULT_OF = {
    "resolve": "disk full",
    "validate": "input gone",
    "prepare": "SIGKILL",
    "train": "input cut off",
    "calibrate": "SIGTERM",
    "evaluate": "no permission",
    "register": "disk full",
    "promote": "clock",
    "rollback": "SIGKILL",
}


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    # Not pytest's folders, which no other user may enter.
    with TemporaryDirectory() as folder:
        yield Harness(Path(folder))


@pytest.mark.slow
@pytest.mark.parametrize("step", WORK)
def test_a_disturbed_step_reports_it_in_a_line_and_has_the_same_outcome_when_it_is_run_again(
    harness: Harness, step: str
):
    fault = FAULT_OF[step]
    if not applies(fault, step, server=False):
        pytest.skip(f"{fault}: needs root")
    disturb(harness, step, fault, seed=0)


@pytest.fixture(scope="module")
def server_harness() -> Iterator[Harness]:
    with TemporaryDirectory() as folder:
        server = Path(folder) / "server"
        server.mkdir()
        with mlflow_behind_proxy(server) as (uri, process, proxy):
            yield Harness(Path(folder), uri, process, proxy)


@pytest.mark.long
@pytest.mark.parametrize(
    ("step", "fault", "how"),
    [
        ("train", "server hangs", "goes on"),
        ("evaluate", "server hangs", "decides ERROR"),
        ("promote", "answers lost", "refused"),
    ],
)
def test_no_step_waits_long_for_a_server_that_does_not_answer(
    server_harness: Harness, step: str, fault: str, how: str
):
    assert disturb(server_harness, step, fault, seed=1) == how


def test_another_outcome_is_reported(harness: Harness):
    disturb(harness, "calibrate", "clock", seed=0)
    harness.expected["calibrate"]["calibrated/weights.safetensors"] = "another digest"
    with pytest.raises(
        AssertionError, match=r"calibrate, clock, seed 0: calibrated/weights.safetensors depend on the clock"
    ):
        disturb(harness, "calibrate", "clock", seed=0)
    del harness.expected["calibrate"]


@pytest.mark.long
@pytest.mark.parametrize("step", WRITES_REGISTRY)
def test_a_kill_at_any_time_leaves_one_champion(harness: Harness, step: str):
    endings = [disturb(harness, step, "SIGKILL", seed) for seed in range(5)]
    assert "ended" in endings
