"""Manual promotion, and rollback."""

import json
from pathlib import Path

from tests.components.registries import NAME
from tests.pipeline.cli.registry.commands import aliases, recap


def test_promote_wants_a_reason_for_a_version_on_hold(workspace: Path):
    refused = recap(workspace, "promote", "2")
    assert isinstance(refused.exception, ValueError)
    assert "its decision is HOLD" in str(refused.exception)
    done = recap(workspace, "promote", "2", "--approve", "by design")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "tiny: champion was version 1, is version 2. Record: recap models show 2."
    assert aliases(workspace) == {"champion": "2", "previous": "1"}


def test_promote_says_so_if_the_version_is_champion_already(workspace: Path):
    done = recap(workspace, "promote", "1", "--json")
    assert json.loads(done.stdout) == {"name": NAME, "champion": "1", "moved": False}


def test_rollback_returns_to_the_previous_champion(workspace: Path):
    recap(workspace, "promote", "2", "--approve", "by design")
    done = recap(workspace, "rollback", "--why", "replies fell", "--json")
    moved = json.loads(done.stdout)
    assert (moved["champion"], moved["source"], moved["why"]) == ("1", "2", "replies fell")
    assert moved["applied"] is True
    assert aliases(workspace) == {"champion": "1", "previous": "2"}
