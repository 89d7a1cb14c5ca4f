"""Each snippet of docs/tasks.md makes a config with the rest of a small one."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from recap_model.config import RecapConfig, parse_config
from tests.tiny import tiny_config

PAGE = (Path(__file__).parents[2] / "docs/tasks.md").read_text()
SNIPPETS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A mapping with others laid over it, at every depth."""
    merged = dict(base)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def with_snippet(snippet: dict[str, Any]) -> RecapConfig:
    return parse_config(over(tiny_config().model_dump(mode="json", exclude_none=True), snippet))


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[next(iter(snippet)) for snippet in SNIPPETS])
def test_a_snippet_is_part_of_a_config_and_changes_it(snippet: dict[str, Any]):
    config = with_snippet(snippet)
    assert config != tiny_config()
    content = config.model_dump(mode="json", exclude_none=True)
    assert over(content, snippet) == content


def test_there_are_snippets_for_tasks_data_model_calibration_and_gate():
    assert {next(iter(snippet)) for snippet in SNIPPETS} == {
        "tasks",
        "data",
        "model",
        "calibration",
        "evaluation",
    }
