"""Environment variables for a while: set in the block, and after it as they were."""

import os

import pytest

from components.common.runtime.environment import environment


def test_variables_are_set_in_the_block_and_put_back_after_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECAP_WAS", "before")
    with environment({"RECAP_WAS": "within", "RECAP_NEW": "within"}):
        assert (os.environ["RECAP_WAS"], os.environ["RECAP_NEW"]) == ("within", "within")
    assert os.environ["RECAP_WAS"] == "before"
    assert "RECAP_NEW" not in os.environ
