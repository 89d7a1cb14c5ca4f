"""Work by several processes: results in order, and a process that is killed is one line."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import popen_spawn_posix
from pathlib import Path
from typing import Any, TypeVar

import pytest

from components.common.runtime.process_pool import ProcessPool, cores

T = TypeVar("T")


def _map(work: Callable[..., T], arguments: Sequence[tuple[Any, ...]], processes: int) -> Iterator[T]:
    with ProcessPool(processes) as pool:
        yield from pool.map(work, arguments)


def double(number: int) -> int:
    return 2 * number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def note_and_raise(path: Path) -> None:
    path.touch()
    time.sleep(0.01)
    raise ValueError(path.name)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_work(processes: int):
    assert list(_map(double, [(number,) for number in range(5)], processes)) == [0, 2, 4, 6, 8]


def test_a_process_that_is_killed_ends_the_work_in_one_line():
    with pytest.raises(
        ChildProcessError, match=r"^a process that reads the log was killed, probably out of memory"
    ):
        list(_map(die, [(number,) for number in range(3)], 2))


def die_or_say_much(number: int) -> bytes:
    return bytes(die(number)) if number == 0 else bytes(1_000_000)


def test_a_process_that_is_killed_while_others_start_leaves_none_behind(monkeypatch: pytest.MonkeyPatch):
    launch = popen_spawn_posix.Popen._launch  # type: ignore[attr-defined]

    def slowly(popen: Any, process: Any) -> None:
        launch(popen, process)
        time.sleep(0.3)

    monkeypatch.setattr(popen_spawn_posix.Popen, "_launch", slowly)
    with pytest.raises(ChildProcessError, match=r"^a process that reads the log was killed"):
        list(_map(die_or_say_much, [(number,) for number in range(8)], 4))
    assert not multiprocessing.active_children()


def test_what_the_work_raises_is_raised_and_the_rest_is_not_begun(tmp_path: Path):
    arguments = [(tmp_path / str(number),) for number in range(50)]
    with pytest.raises(ValueError, match=r"^0$"):
        list(_map(note_and_raise, arguments, 2))
    assert len(list(tmp_path.iterdir())) < 50
    assert not multiprocessing.active_children()


def wait_in(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def work_for_ever(folder: Path) -> None:
    list(_map(wait_in, [(folder,), (folder,)], 2))


def runs(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_process_outlives_the_one_that_started_it(tmp_path: Path):
    parent = multiprocessing.get_context("spawn").Process(target=work_for_ever, args=(tmp_path,))
    parent.start()
    deadline = time.monotonic() + 60
    while len(children := [each.name for each in tmp_path.iterdir()]) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.kill()
    parent.join()
    assert len(children) == 2
    while any(runs(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_more_cores_are_used_than_the_process_is_bound_to():
    assert 1 <= cores() <= len(os.sched_getaffinity(0))
