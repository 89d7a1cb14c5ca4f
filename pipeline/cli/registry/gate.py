"""``recap gate``: what another policy would have decided."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.terminal.command_group import CommandGroup
from pipeline.cli.terminal.output import new_console, new_table
from pipeline.cli.workspace import config_path

if TYPE_CHECKING:
    from recap_model.config import RecapConfig

gate_app = typer.Typer(cls=CommandGroup, help="The rules that decide on a promotion.", no_args_is_help=True)
STATUS = {"PROMOTE": 0, "HOLD": 3, "ERROR": 4}


@gate_app.callback()
def _group() -> None:
    """The rules that decide on a promotion."""


@gate_app.command("replay")
def replay(
    scores: Annotated[Path, typer.Option(help="An evaluation's folder, or its scores.parquet.")],
    policy: Annotated[
        str,
        typer.Option(
            help="A config, or a file with nothing but its `evaluation` or `gate`; the rest is then the run's."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")] = False,
) -> None:
    """Decide again from stored scores under another policy; nothing is promoted or written.

    Exit status 0 for PROMOTE, 3 for HOLD, 4 for ERROR; 1 if it cannot be decided at all.

    Example: `recap gate replay --scores .recap/runs/…/evaluation --policy stricter.yaml`
    """
    from components.evaluate.gate.replay import replay_gate

    outcome, reason, rules = replay_gate(scores, _read_policy(config_path(policy), scores))
    if as_json:
        content = {"outcome": outcome, "reason": reason, "rules": [rule.model_dump() for rule in rules]}
        print(json.dumps(content, indent=1))
    else:
        from rich.text import Text

        table = new_table("rule", "status", "in words")
        for rule in rules:
            table.add_row(rule.name, rule.status, rule.words)
        console = new_console()
        console.print(table)
        console.print(Text.assemble("\n", (outcome, "bold"), f": {reason}"))
    raise typer.Exit(STATUS[outcome])


def _read_policy(path: Path, scores: Path) -> "RecapConfig":
    """A complete config, or that of the scores' run with another ``evaluation`` or ``gate``.

    Raises:
        FileNotFoundError: the file holds one section only, and the scores lie in no run.
        ConfigError: as `load_config`.
    """
    from components.common.artifacts.snapshot import Snapshot
    from recap_model.config import load_config, parse_config
    from recap_model.config.reading.yaml import read_yaml

    content = read_yaml(path.read_bytes(), str(path))
    if not isinstance(content, dict) or list(content) not in (["evaluation"], ["gate"]):
        return load_config(path)
    evaluation = scores if scores.is_dir() else scores.parent
    snapshot = evaluation.resolve().parent.parent / "resolve" / "snapshot"
    if not snapshot.is_dir():
        raise FileNotFoundError(
            f"{path}: has only the section {next(iter(content))}, and {scores} is in no run's folder, which has the "
            "rest; give a whole config"
        )
    _, config = Snapshot.read(snapshot)
    section = content.get("evaluation", content)
    base = config.model_dump(mode="json")
    if isinstance(section, dict):
        section = {**base["evaluation"], **section}
    return parse_config({**base, "evaluation": section}, source=str(path))
