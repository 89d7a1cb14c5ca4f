"""The compiled pipeline in the repository is that of the code, and its form in the UI explains itself."""

from pathlib import Path

import pytest
import yaml

from pipeline.compile import COMPILED, compile_pipelines
from pipeline.retrain import STEPS

pytestmark = pytest.mark.filterwarnings("ignore:::kfp")


def test_the_committed_pipelines_are_those_of_the_code(tmp_path: Path):
    for path in compile_pipelines(tmp_path):
        committed = COMPILED / path.name
        assert committed.read_text() == path.read_text(), "stale; run recap compile and commit the result"


def test_every_parameter_is_described_and_all_but_the_log_have_defaults():
    spec = yaml.safe_load((COMPILED / "retrain.yaml").read_text())
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert all(parameter["description"] for parameter in parameters.values())
    assert [name for name, parameter in parameters.items() if "defaultValue" not in parameter] == [
        "data_root"
    ]


def test_nothing_is_installed_when_a_step_runs():
    assert "pip install" not in (COMPILED / "retrain.yaml").read_text()


def test_the_steps_come_in_the_order_of_the_datas_way():
    spec = yaml.safe_load((COMPILED / "retrain.yaml").read_text())
    tasks = spec["root"]["dag"]["tasks"]
    assert set(tasks) == set(STEPS)
    done: set[str] = set()
    for step in STEPS:
        assert set(tasks[step].get("dependentTasks", [])) <= done
        done.add(step)
