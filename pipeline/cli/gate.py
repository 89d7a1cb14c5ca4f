"""``recap gate``: what another policy would have decided."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.terminal import new_console, new_table
from pipeline.cli.workspace import config_path

gate_app = typer.Typer(help="The rules that decide on a promotion.", no_args_is_help=True)
STATUS = {"PROMOTE": 0, "HOLD": 3, "ERROR": 4}


@gate_app.callback()
def _group() -> None:
    """The rules that decide on a promotion."""


@gate_app.command("replay")
def replay(
    scores: Annotated[Path, typer.Option(help="An evaluation's folder, or its scores.parquet.")],
    policy: Annotated[
        str, typer.Option(help="Config whose section `evaluation` decides: a file, or a packaged one's name.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision for a machine.")] = False,
) -> None:
    """Decide again from stored scores under another policy; nothing is promoted or written.

    Exit status 0 for PROMOTE, 3 for HOLD, 4 for ERROR; 1 if it cannot be decided at all.

    Example: `recap gate replay --scores .recap/runs/…/evaluation --policy stricter.yaml`
    """
    from components.evaluate.gate_replay import replay_gate
    from recap_model.config import load_config

    outcome, reason, rules = replay_gate(scores, load_config(config_path(policy)))
    if as_json:
        content = {"outcome": outcome, "reason": reason, "rules": [rule.model_dump() for rule in rules]}
        print(json.dumps(content, indent=1))
    else:
        from rich.text import Text

        table = new_table("rule", "verdict", "in words")
        for rule in rules:
            table.add_row(rule.name, rule.verdict, rule.words)
        console = new_console()
        console.print(table)
        console.print(Text.assemble("\n", (outcome, "bold"), f": {reason}"))
    raise typer.Exit(STATUS[outcome])
