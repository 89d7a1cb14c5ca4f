"""The gate says no to whatever it cannot compute, and yes only where every rule holds."""

from typing import Any

import numpy as np
import pytest

from components.common.artifacts.decision import Outcome, Rule
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.validation_result import ValidationResultFile
from components.evaluate.gate import decide as decide_on
from components.evaluate.gate.comparison import is_better_than_anchor
from recap_model.config import ConfigError
from recap_model.config.steps.evaluation import Floors, GateConfig
from tests.tiny import tiny_config

TASKS = ["like", "reply"]
GATE = GateConfig(min_rows=1000, min_positives=50, promote_if="better")


def task(**changes: Any) -> dict[str, Any]:
    values = {"auc": 0.7, "rce": 10.0, "calibration_ratio": 1.0, "ece": 0.001}
    return {
        "positives": 500,
        **values,
        "interval": {"rce": [9.0, 11.0]},
        "champion": values,
        "difference": difference(),
        **changes,
    }


def difference(
    rce: float | None = 0.5, interval: list[float] | None = (0.1, 0.9), error: float = 0.2
) -> dict[str, Any]:
    return {"auc": 0.0, "rce": rce, "interval": {"rce": interval}, "error": {"rce": error}}


def slices(*found: tuple[int, float, float]) -> dict[str, Any]:
    """Slices of these rows, RCE differences and standard errors, in both tasks."""
    return {
        f"slice{number}": {
            "rows": rows,
            "tasks": {name: task(difference=difference(change, error=error)) for name in TASKS},
        }
        for number, (rows, change, error) in enumerate(found)
    }


def measured(**tasks: Any) -> dict[str, Any]:
    found = {"like": task(), "reply": task(), **tasks}
    return {
        "rows": 20_000,
        "not_finite": 0,
        "score_psi": 0.01,
        "slices": {},
        "lists": {"k": 10, "top_k_change": 0.2},
        "tasks": {name: value for name, value in found.items() if value},
    }


def decide(
    found: dict[str, Any], tasks: list[str], gate: GateConfig, champion: str | None, **more: Any
) -> tuple[Outcome, str, list[Rule]]:
    return decide_on(Evaluation.model_validate(found), gate, tasks, champion, **more)


def outcome(found: dict[str, Any], champion: str | None = "3", gate: GateConfig = GATE, **more: Any) -> str:
    return decide(found, TASKS, gate, champion, **more)[0]


def test_a_better_and_safe_candidate_is_promoted():
    result, reason, rules = decide(measured(), TASKS, GATE, "3")
    assert result == "PROMOTE"
    assert reason.startswith("no worse than version 3")
    assert {rule.status for rule in rules} == {"pass"}
    stored = rules[0].model_dump(mode="json")
    assert stored["verdict"] == "pass", (
        "the name in decision.json, by which decisions of any version are read"
    )
    assert Rule.model_validate(stored) == rules[0]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (measured(reply=None), "ERROR"),
        (measured(like=task(rce=None)), "ERROR"),
        (measured(like=task(calibration_ratio=None)), "ERROR"),
        (measured(like=task(difference=difference(interval=None))), "ERROR"),
        (measured(like=task(difference=difference(rce=None))), "ERROR"),
        (measured() | {"score_psi": None}, "ERROR"),
        (measured() | {"rows": 999}, "ERROR"),
        (measured() | {"not_finite": 1}, "ERROR"),
        (measured() | {"slices": slices((0, 0.0, 0.1))}, "ERROR"),
        (measured() | {"slices": slices((1, 0.0, 0.1))}, "ERROR"),
        (measured() | {"slices": slices((500, 0.0, 0.1))}, "PROMOTE"),
        (measured() | {"slices": slices((500, -2.0, 0.1))}, "HOLD"),
        (measured() | {"slices": slices((500, -2.0, 5.0))}, "PROMOTE"),
        (measured(like=task(positives=49), reply=task(positives=0)), "ERROR"),
        (measured(like=task(rce=-0.1)), "HOLD"),
        (measured(like=task(calibration_ratio=1.3)), "HOLD"),
        (measured(like=task(difference=difference(interval=(-0.6, 0.9)))), "HOLD"),
        (
            measured(like=task(difference=difference(rce=-0.1)), reply=task(difference=difference(rce=0.0))),
            "HOLD",
        ),
        (measured() | {"score_psi": 1.5}, "HOLD"),
        (measured(like=task(difference=difference(interval=(-0.4, 0.9)))), "PROMOTE"),
        (measured(like=task(positives=49, rce=None)), "PROMOTE"),
    ],
)
def test_each_fault_has_its_outcome(found: dict[str, Any], expected: str):
    assert outcome(found) == expected


def test_a_reason_names_the_first_rules_that_do_not_hold_and_counts_the_rest():
    _, one, _ = decide(measured(like=task(rce=-1.0)), TASKS, GATE, "3")
    assert (
        one == "1 of 9 rules does not hold: floor_rce: like: RCE is -1; it must be >= 0 (gate.floors.min_rce)"
    )
    worse = task(rce=-1.0, calibration_ratio=2.0)
    _, more, _ = decide(measured(like=worse, reply=worse), TASKS, GATE, "3")
    assert more == (
        "4 of 9 rules do not hold: floor_rce: like: RCE is -1; it must be >= 0 (gate.floors.min_rce) | "
        "floor_calibration: like: predicted/observed is 2; it must be >= 0.8 and <= 1.25 "
        "(gate.floors.calibration_ratio) | "
        "floor_rce: reply: RCE is -1; it must be >= 0 (gate.floors.min_rce) | 1 more in the report"
    )


def test_a_champion_of_other_columns_waits_for_a_person_if_the_floors_hold():
    gone = "version 3 of tiny: the champion reads likes"
    result, reason, rules = decide(measured(), TASKS, GATE, "3", column_mismatch=gone)
    assert (result, reason) == ("HOLD", f"1 of 6 rules does not hold: champion_columns: {gone}")
    assert "non_inferior" not in {rule.name for rule in rules}
    assert decide(measured(like=task(rce=None)), TASKS, GATE, "3", column_mismatch=gone)[0] == "ERROR"


def test_a_champion_that_cannot_be_compared_with_is_an_error_in_its_words():
    result, reason, _ = decide(measured(), TASKS, GATE, "3", champion_error="version 3 of tiny: altered")
    assert (result, "version 3 of tiny: altered" in reason) == ("ERROR", True)


def task_of_a_new_kind(**values):
    """A task that the champion does not predict."""
    theirs = {"rce": None, "undefined": {"rce": "the model has no such task"}}
    return task(champion=theirs, difference=difference(rce=None, interval=None), **values)


def test_a_task_that_the_champion_does_not_have_waits_for_a_person():
    new = task_of_a_new_kind()
    result, reason, rules = decide(measured(reply=new), TASKS, GATE, "3")
    assert (result, reason) == (
        "HOLD",
        "1 of 9 rules does not hold: new_task: reply: version 3 does not predict it; a person may approve what "
        "cannot be compared",
    )
    assert {rule.task for rule in rules if rule.name in ("non_inferior", "better_somewhere")} == {"like"}
    every = measured(like=new, reply=new)
    assert outcome(every) == "HOLD"
    assert outcome(measured(reply=new), gate=GATE.model_copy(update={"objectives": ["reply"]})) == "HOLD"


def test_a_new_task_has_its_floors_and_what_the_champion_predicts_is_still_compared():
    low = decide(measured(reply=task_of_a_new_kind(rce=-1.0)), TASKS, GATE, "3")[1]
    assert "reply: RCE is -1; it must be >= 0" in low
    worse = task(difference=difference(rce=-9.0))
    assert (
        "like: RCE difference"
        in decide(measured(like=worse, reply=task_of_a_new_kind()), TASKS, GATE, "3")[1]
    )
    broken = task(
        champion={"rce": None, "undefined": {"rce": "a prediction is not finite"}},
        difference=difference(rce=None, interval=None),
    )
    result, reason, _ = decide(measured(reply=broken), TASKS, GATE, "3")
    assert (result, "(of the champion: a prediction is not finite)" in reason) == ("ERROR", True)


def test_a_first_run_is_decided_by_the_floors_or_by_a_person():
    first = measured() | {"score_psi": None, "tasks": {name: task() for name in TASKS}}
    approval = GATE.model_copy(update={"first_run": "require_approval"})
    assert outcome(first, champion=None) == "PROMOTE"
    assert outcome(first, champion=None, gate=approval) == "HOLD"
    first["tasks"]["like"] = task(rce=-1.0)
    assert outcome(first, champion=None) == "HOLD"


def test_a_task_has_its_own_floors_and_objectives_are_those_listed():
    gate = GateConfig(min_rows=1000, task_floors={"like": {"min_auc": 0.75}})
    assert outcome(measured(), gate=gate) == "HOLD"
    only_reply = GATE.model_copy(update={"objectives": ["reply"]})
    assert outcome(measured(reply=task(difference=difference(rce=-0.1))), gate=only_reply) == "HOLD"
    assert outcome(measured(reply=task(difference=difference(rce=-0.1)))) == "PROMOTE"


def test_a_policy_without_floors_is_refused():
    gate = {"floors": {}, "task_floors": {}}
    with pytest.raises(ConfigError, match=r"evaluation\.gate\.floors: none is given"):
        tiny_config(evaluation={"gate": gate})


def test_bounds_that_are_given_are_checked():
    for gate, found in (
        (GateConfig(max_top_k_change=0.1), measured()),
        (GateConfig(floors={"max_ece": 0.0005}), measured()),
    ):
        assert outcome(found, gate=gate) == "HOLD"
        looser = gate.model_copy(update={"max_top_k_change": 0.5, "floors": Floors(max_ece=0.01)})
        assert outcome(found, gate=looser) == "PROMOTE"
    assert outcome(measured() | {"lists": {"k": 10}}, gate=GateConfig(max_top_k_change=0.1)) == "ERROR"


def test_one_harmed_slice_among_many_is_found_and_named():
    found = measured() | {"slices": slices(*[(500, 0.1, 0.3)] * 9, (500, -3.0, 0.3))}
    result, reason, _ = decide(found, TASKS, GATE, "3")
    assert result == "HOLD"
    assert "slice slice9" in reason


def pair(random: np.random.Generator, tasks: int, gain: float) -> dict[str, Any]:
    """What is measured of two models of which one is better by ``gain`` standard errors in each task."""
    found = {}
    for number in range(tasks):
        change = 0.2 * (gain + random.standard_normal())
        bounds = [change - 1.645 * 0.2, change + 1.645 * 0.2]
        found[f"task{number}"] = task(difference=difference(change, bounds, 0.2))
    return measured() | {"tasks": found}


@pytest.mark.parametrize("tasks", [1, 3, 10])
def test_of_equal_models_no_more_are_promoted_by_luck_than_stated_and_most_better_ones_are(tasks: int):
    random = np.random.default_rng(tasks)
    promoted = {
        gain: sum(
            decide(pair(random, tasks, gain), [f"task{n}" for n in range(tasks)], GATE, "3")[0] == "PROMOTE"
            for _ in range(1000)
        )
        for gain in (0.0, 4.0)
    }
    assert 0 < promoted[0.0] <= 50 + 3 * (1000 * 0.05 * 0.95) ** 0.5
    assert promoted[4.0] > 800


def test_a_gain_beyond_doubt_is_told_without_a_p_value_of_0():
    gate = GATE.model_copy(update={"promote_if": "better"})
    _, _, rules = decide(measured(like=task(difference=difference(rce=90.0))), TASKS, gate, "3")
    (rule,) = [rule for rule in rules if rule.name == "better_somewhere"]
    assert (rule.status, "p < 0.0001" in rule.words) == ("pass", True)


def test_the_newer_of_two_models_that_are_alike_is_promoted_by_default():
    alike = measured(like=task(difference=difference(rce=-0.1)), reply=task(difference=difference(rce=0.0)))
    result, reason, rules = decide(alike, TASKS, GateConfig(min_rows=1000), "3")
    assert (result, "better" in reason) == ("PROMOTE", False)
    assert "better_somewhere" not in {rule.name for rule in rules}
    assert outcome(alike) == "HOLD"


def found_by_validate(columns: dict[str, list[tuple[str, float]]], leaking: str | None) -> Any:
    rule = {
        "rule": "label_leak",
        "success": leaking is None,
        "line": "",
        "subject": f"task {leaking}",
        "observed": "is decided by a column alone, with an AUC of education (0.9998),",
    }
    drift = {"state": "no_baseline", "against": ""}
    content = {"snapshot": "s", "verdict": "warnings", "drift": drift, "rules": [rule], "column_auc": columns}
    return ValidationResultFile.model_validate(content)


HONEST = {"like": [("household", 0.9777)]}  # as of a census: the task is decided, by several columns together


@pytest.mark.parametrize(
    ("metrics", "champion", "leaking", "policy", "expected", "words"),
    [
        ({"auc": 0.9945, "rce": 85.0}, None, None, "hold", "PROMOTE", None),
        ({"auc": 0.9945, "rce": 85.0}, None, "reply", "hold", "PROMOTE", None),
        ({"auc": 0.98, "rce": 60.0}, None, "like", "hold", "PROMOTE", None),
        (
            {"auc": 0.9999, "rce": 94.0},
            None,
            "like",
            "hold",
            "HOLD",
            "1 of 6 rules does not hold: suspicious: like: AUC is 0.9999, too good to be true; validate found "
            "that it is decided by a column alone, with an AUC of education (0.9998); is every input known at the "
            "impression? (gate.suspicious)",
        ),
        (
            {"auc": 0.9999, "rce": 98.04},
            None,
            None,
            "hold",
            "HOLD",
            "1 of 6 rules does not hold: suspicious: like: RCE is 98.0 %, too good to be true; the highest AUC of a "
            "column alone: household (0.9777); is every input known at the impression? (gate.suspicious)",
        ),
        ({"auc": 0.9999, "rce": 98.0}, None, "like", "warn", "PROMOTE", None),
        ({"auc": 0.9999, "rce": 98.0}, {"auc": 0.9998, "rce": 97.0}, "like", "hold", "PROMOTE", None),
        ({"auc": 0.9999, "rce": 98.0}, {"auc": 0.80, "rce": 30.0}, "like", "hold", "HOLD", None),
        ({"auc": 0.9999, "rce": 98.0, "positives": 49}, None, "like", "hold", "PROMOTE", None),
    ],
)
def test_a_metric_too_good_to_be_true_holds_and_names_the_likely_columns(
    metrics: dict[str, Any],
    champion: dict[str, float] | None,
    leaking: str | None,
    policy: Any,
    expected: str,
    words: str | None,
):
    compared = {"champion": champion} if champion else {"champion": None, "difference": None}
    found = measured(like=task(**metrics, **compared), reply=task(**({} if champion else compared)))
    gate = GateConfig(min_rows=1000, suspicious=policy)
    validation = found_by_validate(HONEST, leaking)
    result, reason, rules = decide(found, TASKS, gate, "3" if champion else None, validation=validation)
    assert result == expected, reason
    assert words is None or reason == words
    said = [rule.status for rule in rules if rule.name == "suspicious"]
    assert said in ([], ["fail"], ["warning"], ["pass"])
    assert (said == ["warning"]) == (policy == "warn")


def against_anchor(rce: float, low: float, **changes: Any) -> dict[str, Any]:
    """A task as good as the champion's, with this difference from the anchor and the bound below it."""
    return task(
        difference=difference(rce=-0.1, interval=[-0.3, 0.1]),
        anchor={"rce": 10.0 - rce},
        anchor_difference=difference(rce=rce, interval=[low, 2 * rce - low]),
        **changes,
    )


def test_losses_that_each_comparison_with_the_champion_allows_do_not_add_up():
    """Biocreep: no worse than the champion, which was no worse than its own, and so on; the anchor remembers."""
    gate = GateConfig(min_rows=1000)
    found = measured(like=against_anchor(-0.5, -0.7), reply=against_anchor(-0.1, -0.3))
    assert decide(found, TASKS, gate, "9")[0] == "PROMOTE"
    result, reason, _ = decide(found, TASKS, gate, "9", anchor="3")
    assert (result, reason) == (
        "HOLD",
        "1 of 10 rules does not hold: non_inferior_to_anchor: like: RCE difference from version 3 (the anchor), "
        "lower 95% bound is -0.7; it must be >= -0.5 (gate.max_rce_loss)",
    )
    for policy in ({"promote_if": "better"}, {"anchor_champions": None}):
        rules = decide(found, TASKS, gate.model_copy(update=policy), "9", anchor="3")[2]
        assert "non_inferior_to_anchor" not in {rule.name for rule in rules}


def test_a_task_that_the_anchor_lacks_is_not_compared_with_it():
    theirs = {"rce": None, "undefined": {"rce": "the model has no such task"}}
    lacking = against_anchor(0.0, 0.0) | {"anchor": theirs, "anchor_difference": difference(None, None)}
    found = measured(like=against_anchor(0.0, -0.2), reply=lacking)
    result, _, rules = decide(found, TASKS, GateConfig(min_rows=1000), "9", anchor="3")
    assert result == "PROMOTE"
    assert [rule.task for rule in rules if rule.name == "non_inferior_to_anchor"] == ["like"]


@pytest.mark.parametrize(("gain", "expected"), [(0.1, False), (0.3, False), (0.5, True)])
def test_only_a_significant_gain_makes_the_next_anchor(gain: float, expected: bool):
    """With an error of 0.2 a gain is significant for one of two objectives over 1.96 errors (Holm at 5 %)."""
    found = measured(like=against_anchor(gain, gain - 0.33), reply=against_anchor(0.0, -0.33))
    gate = GateConfig(min_rows=1000)
    assert is_better_than_anchor(Evaluation.model_validate(found), TASKS, gate, False) is expected
    assert not is_better_than_anchor(Evaluation.model_validate(found), TASKS, gate, True)


def test_objectives_of_which_none_is_judged_are_an_error():
    found = measured(reply=task(positives=3))
    assert outcome(found, gate=GATE.model_copy(update={"objectives": ["reply"]})) == "ERROR"


def test_equal_slices_raise_a_false_alarm_no_more_often_than_stated():
    """At the edge of what is allowed every slice is a null hypothesis; Holm bounds any rejection among them."""
    random = np.random.default_rng(4)
    alarms = 0
    for _ in range(1000):
        edge = -GATE.max_slice_rce_loss + 0.3 * random.standard_normal(20)
        found = measured() | {"slices": slices(*((500, float(change), 0.3) for change in edge))}
        alarms += outcome(found) == "HOLD"
    assert alarms <= 50 + 3 * (1000 * 0.05 * 0.95) ** 0.5
