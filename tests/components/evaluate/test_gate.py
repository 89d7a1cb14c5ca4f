"""The gate says no to whatever it cannot compute, and yes only where every rule holds."""

import copy
from typing import Any

import pytest

from components.evaluate.gate import decide
from recap_model.config import ConfigError
from recap_model.config.evaluation import GateConfig
from tests.tiny import tiny_config

TASKS = ["like", "reply"]
GATE = GateConfig(min_rows=1000, min_positives=50)


def task(**changes: Any) -> dict[str, Any]:
    values = {"auc": 0.7, "rce": 10.0, "calibration_ratio": 1.0}
    return {
        "positives": 500,
        **values,
        "rce_interval": [9.0, 11.0],
        "champion": values,
        "difference": {"auc": 0.0, "rce": 0.5, "rce_interval": [0.1, 0.9]},
        **changes,
    }


def measured(**tasks: Any) -> dict[str, Any]:
    found = {"like": task(), "reply": task(), **tasks}
    return {
        "rows": 20_000,
        "score_psi": 0.01,
        "tasks": {name: value for name, value in found.items() if value},
    }


def outcome(found: dict[str, Any], champion: str | None = "3", gate: GateConfig = GATE, **more: Any) -> str:
    return decide(copy.deepcopy(found), TASKS, gate, champion, **more)[0]


def test_a_better_and_safe_candidate_is_promoted():
    result, reason, rules = decide(measured(), TASKS, GATE, "3")
    assert result == "PROMOTE"
    assert reason.startswith("no worse than version 3")
    assert {rule.verdict for rule in rules} == {"pass"}


def _difference(**values: Any) -> dict[str, Any]:
    return task(difference={"auc": 0.0, "rce": 0.5, "rce_interval": [0.1, 0.9], **values})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (measured(reply=None), "ERROR"),
        (measured(like=task(rce=None)), "ERROR"),
        (measured(like=task(calibration_ratio=None)), "ERROR"),
        (measured(like=_difference(rce_interval=None)), "ERROR"),
        (measured(like=_difference(rce=None)), "ERROR"),
        (measured() | {"score_psi": None}, "ERROR"),
        (measured() | {"rows": 999}, "ERROR"),
        (measured(like=task(positives=49), reply=task(positives=0)), "ERROR"),
        (measured(like=task(rce=-0.1)), "HOLD"),
        (measured(like=task(calibration_ratio=1.3)), "HOLD"),
        (measured(like=_difference(rce_interval=[-0.6, 0.9])), "HOLD"),
        (measured(like=_difference(rce=-0.1), reply=_difference(rce=0.0)), "HOLD"),
        (measured() | {"score_psi": 1.5}, "HOLD"),
        (measured(like=_difference(rce_interval=[-0.4, 0.9])), "PROMOTE"),
        (measured(like=task(positives=49, rce=None)), "PROMOTE"),
    ],
)
def test_each_fault_has_its_outcome(found: dict[str, Any], expected: str):
    assert outcome(found) == expected


def test_a_champion_that_cannot_be_compared_with_is_an_error_in_its_words():
    result, reason, _ = decide(measured(), TASKS, GATE, "3", trouble="version 3 of tiny: altered")
    assert (result, "version 3 of tiny: altered" in reason) == ("ERROR", True)


def test_a_first_run_is_decided_by_the_floors_or_by_a_person():
    first = {"rows": 20_000, "score_psi": None, "tasks": {name: task() for name in TASKS}}
    approval = GATE.model_copy(update={"first_run": "require_approval"})
    assert outcome(first, champion=None) == "PROMOTE"
    assert outcome(first, champion=None, gate=approval) == "HOLD"
    first["tasks"]["like"] = task(rce=-1.0)
    assert outcome(first, champion=None) == "HOLD"


def test_a_task_has_its_own_floors_and_objectives_are_those_listed():
    gate = GateConfig(min_rows=1000, task_floors={"like": {"min_auc": 0.75}})
    assert outcome(measured(), gate=gate) == "HOLD"
    only_reply = GateConfig(min_rows=1000, objectives=["reply"])
    assert outcome(measured(reply=_difference(rce=-0.1)), gate=only_reply) == "HOLD"
    assert outcome(measured(reply=_difference(rce=-0.1))) == "PROMOTE"


def test_a_policy_without_floors_is_refused():
    gate = {"floors": {}, "task_floors": {}}
    with pytest.raises(ConfigError, match=r"evaluation\.gate: floors: none is given"):
        tiny_config(evaluation={"gate": gate})
