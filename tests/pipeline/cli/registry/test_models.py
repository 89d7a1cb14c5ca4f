"""``recap models`` on a real registry: versions listed and shown, edited rows, wrong use."""

import contextlib
import json
import re
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.common import registry
from components.common.registry.promotion.promotion_log import person
from pipeline.cli.app import app
from pipeline.cli.registry.versions import version_table
from pipeline.cli.terminal.output import new_console
from tests.components.registries import NAME, PROOF, new_registry
from tests.fork_server import run_recap
from tests.pipeline.cli.registry.commands import recap

OWN_ROWS = "AUC, RCE: each version on its own test rows; recap models diff uses the same."


def test_versions_are_listed_newest_first_for_a_machine(workspace: Path):
    listed = json.loads(recap(workspace, "models", "--json").stdout)
    assert [(row["version"], row["aliases"], row["outcome"]) for row in listed] == [
        ("2", ["candidate"], "HOLD"),
        ("1", ["champion"], "PROMOTE"),
    ]
    assert listed[0]["window"] == "2026-03-01..2026-03-02"
    assert listed[0]["metrics"]["auc/like"] == 0.75
    assert listed[0]["name"] == NAME
    assert listed[0]["proof"] == "passed"
    assert len(json.loads(recap(workspace, "models", "--limit", "1", "--json").stdout)) == 1


def test_versions_are_listed_in_a_table(workspace: Path):
    printed = recap(workspace, "models").stdout
    for words in ("champion", "candidate", "2026-03-01..03-02", "HOLD", "0.7500", "4.00", "the gate"):
        assert words in printed


def test_the_table_fits_a_terminal_of_80_columns(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.cli.terminal.output._UNBOUNDED", 80)
    recap(workspace, "promote", "2", "--approve", "by design")
    lines = recap(workspace, "models").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[4:]).split() == OWN_ROWS.split()
    assert "2026-03-01..03-02  champion" in lines[2]
    assert lines[2].rstrip().endswith(person()[:8]) or person()[:8] in lines[2]
    assert "previous" in lines[3]


def test_a_narrow_terminal_has_fewer_columns_and_no_broken_word(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    recap(workspace, "promote", "2", "--approve", "by design")
    for columns, left_out in ((70, "who"), (58, "who, RCE, age"), (40, "who, RCE, age, AUC, data window")):
        monkeypatch.setattr("pipeline.cli.terminal.output._UNBOUNDED", columns)
        lines = recap(workspace, "models").stdout.splitlines()
        assert max(map(len, lines)) <= columns
        assert {"version", "aliases", "decision"} <= set(lines[1].split())
        assert {"2", "champion", "HOLD"} <= set(lines[2].split())
        own_rows = "" if "AUC" in left_out else f"{OWN_ROWS} "
        assert " ".join(" ".join(lines[4:]).split()) == f"{own_rows}A wider terminal shows {left_out}."


def test_the_learning_rates_of_the_last_step_are_no_metrics_of_a_version(workspace: Path):
    client = registry.connect(registry.default_tracking_uri(workspace))
    run_id = json.loads(recap(workspace, "models", "--json").stdout)[0]["run_id"]
    client.log_metric(run_id, "train/learning_rates/like", 0.002)
    client.log_metric(run_id, "train/losses/like", 0.25)
    metrics = json.loads(recap(workspace, "models", "show", "2", "--json").stdout)["metrics"]
    assert "train/losses/like" in metrics
    assert not any("learning_rates" in name for name in metrics)


def test_a_model_without_versions_says_where_it_looked(workspace: Path):
    done = CliRunner().invoke(app, ["models", "--name", "other", "--workspace", str(workspace)])
    assert done.exit_code == 0
    assert (
        done.stdout.strip() == f"other: no version in sqlite:///{workspace}/mlflow.db; --name is one of: tiny"
    )


def test_one_version_is_shown_with_lineage_proof_and_moves(workspace: Path):
    shown = json.loads(recap(workspace, "models", "show", "1", "--json").stdout)
    assert shown["lineage"]["pipeline_run"] == "run-1"
    assert shown["measured"] == PROOF.model_dump()
    (move,) = shown["moves"]
    assert "pipeline run run-1: none -> 1, the gate said PROMOTE." in move
    assert shown["lineage"]["train_set"] == "t"
    assert "pipeline_run: run-1" in recap(workspace, "models", "show", "1").stdout


def test_a_version_of_the_release_before_is_shown_with_the_lineage_of_its_tags(workspace: Path):
    client = registry.connect(registry.default_tracking_uri(workspace))
    client.set_model_version_tag(NAME, "2", registry.LOAD_TEST_TAG, PROOF.model_dump_json())
    client.set_model_version_tag(NAME, "2", registry.DIGEST_TAG, "0" * 64)
    client.set_model_version_tag(NAME, "2", "recap.data_digest", "1" * 64)
    shown = json.loads(recap(workspace, "models", "show", "2", "--json").stdout)
    assert shown["proof"] == "passed"
    assert shown["measured"] == PROOF.model_dump()
    assert shown["lineage"]["data_digest"] == "1" * 64
    assert "digests.json was altered" in shown["lineage"]["artifacts"]


def _description(workspace: Path, version: str) -> str:
    client = registry.connect(registry.default_tracking_uri(workspace))
    return registry.get_version(client, NAME, version).description


def test_a_versions_description_says_who_moved_it_and_why_before_its_decision(workspace: Path):
    assert _description(workspace, "2").splitlines()[0] == "HOLD: the gate said HOLD."
    recap(workspace, "promote", "2", "--approve", "replies are down\nby design")
    approved, decision, *_ = _description(workspace, "2").split("\n\n")
    assert re.fullmatch(rf"Approved by {re.escape(person())} at \S+: replies are down by design", approved)
    assert decision == "Decision at registration: HOLD: the gate said HOLD."
    replaced, promoted, *_ = _description(workspace, "1").split("\n\n")
    assert replaced.startswith(f"Replaced by version 2, approved by {person()} at ")
    assert promoted.startswith("Promoted by pipeline run run-1 at ")
    recap(workspace, "rollback", "--why", "complaints")
    assert _description(workspace, "2").startswith(f"Rolled back to version 1 by {person()} at ")
    again = _description(workspace, "1")
    assert again.startswith(f"Rolled back to this version by {person()} at ")
    assert again.count("Decision at registration:") == 1


def test_rows_that_somebody_edited_are_named_beside_the_others(workspace: Path):
    promotions = f"name = '{NAME}.promotions'"
    with contextlib.closing(sqlite3.connect(workspace / "mlflow.db")) as database:
        for change in (
            "UPDATE model_versions SET creation_time = -5 WHERE version = 2",
            "UPDATE model_version_tags SET value = '{half' WHERE version = 2 AND key = 'recap.proof'",
            f"UPDATE model_versions SET run_id = 'gone' WHERE version = 1 AND name = '{NAME}'",
            f"UPDATE model_version_tags SET value = 'x' WHERE {promotions} AND key = 'recap.move.after'",
        ):
            assert database.execute(change).rowcount == 1
        database.commit()
    time, proof = (
        "its creation time -5 is not a time in milliseconds since 1970",
        "its tag recap.proof is not what register writes",
    )
    move = "tiny.promotions version 1: is not a valid promotion record (its tag recap.move.after is 'x'"
    lines = recap(workspace, "models").stdout.splitlines()
    assert lines[2].split()[:2] == ["2", "unknown"]
    assert "champion" in lines[3]
    assert lines[5:8] == [
        f"tiny version 2: {time}",
        f"tiny version 2: {proof}",
        "tiny version 1: its MLflow run gone was deleted, and its metrics with it",
    ]
    assert lines[8].startswith(move)
    assert json.loads(recap(workspace, "models", "show", "2", "--json").stdout)["problems"][:2] == [
        time,
        proof,
    ]
    found = recap(workspace, "doctor")
    assert found.exit_code == 1
    for words in (f"tiny version 2: {time}; restore", f"tiny version 2: {proof}; restore", move):
        assert f"fail  registry   {words}" in found.stdout


def test_a_mean_is_over_the_tasks_that_the_gate_judges():
    summary = {"proof": "passed", "who": None, "version": "1", "created": None, "window": None, "aliases": []}
    metrics = {"auc/like": 0.7, "auc/report": 1.0}
    for measured, shown in ((metrics, "0.8500"), ({**metrics, "mean_auc": 0.7}, "0.7000")):
        row = {**summary, "outcome": "HOLD", "metrics": measured}
        console = new_console()
        with console.capture() as printed:
            console.print(version_table(NAME, [row], 200))
        assert shown in printed.get()


def test_an_alias_that_was_moved_by_other_means_is_told(workspace: Path):
    client = registry.connect(registry.default_tracking_uri(workspace))
    client.delete_model_version(NAME, "1")
    printed = " ".join(recap(workspace, "models").stdout.split())
    assert "made version 1 champion" in printed
    assert "but no version is; the alias was moved outside Recap" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("promote", "--approve", ""),
        ("promote", "one"),
        ("promote", "0"),
        ("promote", "2", "--approve", " "),
        ("rollback", "--to", "x"),
        ("models", "show"),
    ],
)
def test_wrong_use_ends_with_status_2(arguments: tuple[str, ...], tmp_path: Path):
    assert CliRunner().invoke(app, list(arguments)).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("models",), "no registry yet; recap run creates one"),
        (
            ("models", "show", "7"),
            "model tiny: has no version 7; recap models --name tiny lists the versions",
        ),
        (("rollback", "--registry", "http://127.0.0.1:9"), "the registry does not answer"),
    ],
)
def test_what_goes_wrong_is_one_line_and_status_1(arguments: tuple[str, ...], words: str, tmp_path: Path):
    workspace = tmp_path / "workspace"
    if arguments != ("models",):
        new_registry(workspace)
    done = run_recap(*arguments, "--name", NAME, "--workspace", str(workspace), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert words in line
    assert line.startswith("recap: ")
