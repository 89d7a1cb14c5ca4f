"""Two versions compared, on the same rows or each on its own."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.registry.versions import format_change
from tests.components.registries import new_registry, register, run_outputs
from tests.pipeline.cli.registry.commands import recap


def test_two_versions_are_compared(workspace: Path):
    found = json.loads(recap(workspace, "models", "diff", "1", "2", "--json").stdout)
    assert found["lineage.outcome"] == ["PROMOTE", "HOLD"]
    assert len(found["lineage.model_digest"][0]) == 64
    assert "config.tasks.like.label" not in found
    printed = recap(workspace, "models", "diff", "1", "2").stdout
    assert "lineage.outcome: PROMOTE -> HOLD" in printed
    assert f"lineage.model_digest: {found['lineage.model_digest'][0][:12]} -> " in printed
    assert found["metrics"] == {"not_compared": NOT_COMPARED}
    assert (
        f"metrics: not compared, as the versions were not scored on the same rows: {NOT_COMPARED}" in printed
    )


NOT_COMPARED = (
    "the test set of version 2 is not on this machine; the test set of version 1 is not on this machine"
)


def measured_against(champion: float, candidate: float) -> dict[str, Any]:
    """A task of which both models have an RCE; the error of the difference is 0.2."""
    change = candidate - champion
    interval = {"rce": [change - 0.33, change + 0.33]}
    difference = {"rce": change, "interval": interval, "error": {"rce": 0.2}}
    models = {"rce": candidate, "auc": 0.71, "champion": {"rce": champion, "auc": 0.7}}
    return {"rows": 1000, "positives": 200, **models, "difference": difference}


def test_two_versions_are_compared_on_the_same_rows_as_recorded_or_scored_again(tmp_path: Path):
    """Version 2 was compared with 1 when it was registered; version 3 with none, but its test set is there."""
    uri = new_registry(tmp_path / "workspace")
    for number, against in ((1, None), (2, "1"), (3, None)):
        steps = tmp_path / str(number)
        inputs = run_outputs(steps, uri, f"run-{number}", "HOLD", against, seed=number)
        if against:
            tasks = {
                "like": measured_against(4.0, 4.5),
                "reply": measured_against(2.0, 2.1) | {"positives": 0},
            }
            (inputs.evaluation / "metrics.json").write_text(json.dumps({"rows": 1000, "tasks": tasks}))
        if number == 3:
            evaluation = steps / "evaluate" / "evaluation"
            shutil.copytree(inputs.evaluation, evaluation)
            shutil.copytree(inputs.test_set.parent, steps / "prepare", ignore=shutil.ignore_patterns("log"))
            (steps / "prepare" / inputs.test_set.name).rename(steps / "prepare" / "test_set")
            inputs = replace(inputs, evaluation=evaluation)
        register(inputs, steps / "version")

    def diff(first: str, second: str) -> Any:
        done = recap(tmp_path / "workspace", "models", "diff", first, second, "--json")
        assert done.exception is None, done.exception
        return json.loads(done.stdout)["metrics"]

    recorded, backwards = diff("1", "2"), diff("2", "1")
    assert (recorded["rows"], recorded["version"], recorded["source"]) == (1000, "2", "recorded")
    assert list(recorded["tasks"]) == ["like"], "reply has fewer positives than the gate judges"
    like = recorded["tasks"]["like"]
    assert (like["first"], like["second"], like["change"]) == (4.0, 4.5, 0.5)
    assert like["bounds"] == pytest.approx([0.17, 0.83])
    turned = backwards["tasks"]["like"]
    assert (turned["first"], turned["second"], turned["change"]) == (4.5, 4.0, -0.5)
    assert turned["bounds"] == pytest.approx([-0.83, -0.17])
    assert (turned["first_order"], turned["second_order"]) == (0.71, 0.7)

    rescored, itself = diff("1", "3"), diff("3", "1")
    assert (rescored["rows"], rescored["version"], rescored["source"]) == (50, "3", "rescored")
    assert rescored["tasks"]
    for task, change in rescored["tasks"].items():
        assert change["change"] == pytest.approx(change["second"] - change["first"])
        assert itself["tasks"][task]["change"] == -change["change"]
    printed = recap(tmp_path / "workspace", "models", "diff", "1", "2").stdout
    assert "metrics: on the same 1,000 test rows, of version 2, recorded; judged tasks" in printed
    assert "like: RCE 4.00 -> 4.50, change +0.5 (+0.17 to +0.83); AUC 0.7000 -> 0.7100" in printed


def test_a_number_that_moved_is_told_with_how_far():
    assert format_change(0.75, 0.7625) == "0.75 -> 0.7625 (+0.0125)"
    assert format_change(None, 0.5) == "none -> 0.5"
