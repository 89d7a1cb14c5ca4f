"""Work by several processes: results in order, and a process that is killed is one line."""

import os
import signal

import pytest

from components.artifacts.processes import cores, side_by_side


def double(number: int) -> int:
    return 2 * number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_work(processes: int):
    assert list(side_by_side(double, [(number,) for number in range(5)], processes)) == [0, 2, 4, 6, 8]


def test_a_process_that_is_killed_ends_the_work_in_one_line():
    with pytest.raises(
        ChildProcessError, match=r"^a process that reads the log was killed, perhaps for want of"
    ):
        list(side_by_side(die, [(number,) for number in range(3)], 2))


def test_no_more_cores_are_used_than_the_process_is_bound_to():
    assert 1 <= cores() <= len(os.sched_getaffinity(0))
