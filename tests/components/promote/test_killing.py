"""Steps of the registry that are killed at random moments; ``killing`` does it more often."""

import subprocess
import sys

import pytest

from tests.components.promote import killing


@pytest.mark.long
def test_a_step_that_is_killed_at_any_moment_leaves_one_champion_and_is_finished_by_a_rerun():
    # In a process of its own, which forks: the tests' has threads.
    command = [sys.executable, "-W", "ignore", "-m", killing.__name__, "--kills", "5", "--races", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = [line.split()[0] for line in done.stdout.splitlines() if " after the kill" in line]
    assert set(told) <= {"register", "promote", "rollback"}
    assert told, done.stdout
