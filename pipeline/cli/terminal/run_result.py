"""The result of ``recap run``, printed: the decision, why, what to do next, and where the pages are."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.steps import STEPS
from pipeline.cli.terminal.output import wrap_field
from pipeline.cli.workspace import DEFAULT_NAME, DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {"PROMOTE": "green", "HOLD": "yellow", "ERROR": "red"}
_MAX_REASONS = 5


def registry_options(workspace: Path, uri: str, usual: str) -> tuple[str, str]:
    """The options with which ``recap models`` and ``recap report`` find this run's registry and workspace."""
    folder = "" if workspace == DEFAULT_WORKSPACE else f" --workspace {shlex.quote(str(workspace))}"
    return folder if uri == usual else f" --tracking-uri {shlex.quote(uri)}", folder


def print_result(result: dict[str, Any], console: "Console", where: tuple[str, str]) -> None:
    """Print the decision, why, what next, and where to look."""
    from rich.text import Text

    promotion, outcome, lines = result["promotion"], result["outcome"], list[str]()
    if outcome:
        reason = promotion["reason"] if promotion else result["reason"]
        console.print()
        for number, line in enumerate(wrap_field("Decision:", f"{outcome}. {reason}", console.width)):
            text = Text(line)
            if number < 2:
                text.highlight_words([outcome], f"bold {_COLOURS[outcome]}")
            console.print(text, soft_wrap=True)
        for words in result.get("suspicious", []):
            _print_field("Leak?", words, console, "bold red")
        suspicious = result.get("suspicious", [])
        why = [
            words
            for words in result.get("failed_rules", [])
            if words not in reason and words not in suspicious
        ]
        for words in why[:_MAX_REASONS]:
            _print_field("Why:", words, console)
        if len(why) > _MAX_REASONS:
            _print_field("Why:", f"and {len(why) - _MAX_REASONS} more rules", console)
    else:
        console.print(_describe_stop(result), soft_wrap=True)
        if "run" in result["reports"]:
            console.print(f"Pages:    {result['reports']['run']}", soft_wrap=True)
        return
    if promotion:
        model = "" if promotion["name"] == DEFAULT_NAME else f" --name {shlex.quote(promotion['name'])}"
        if not promotion.get("promoted", True) and outcome == "HOLD":
            approve = f'recap promote {promotion["version"]} --approve "REASON"{model}{where[0]}'
            lines.append(f"Next:     look at the pages; to promote it all the same: {approve}")
        lines.append(f"Versions: recap models{model}{where[0]}")
    else:
        _print_field("Stopped:", _describe_stop(result), console)
    if "run" in result["reports"]:
        lines.append(f"Pages:    {result['reports']['run']}")
    lines.append(f"Browser:  recap report{where[1]}")
    # Paths and commands stay whole, to be copied.
    for line in lines:
        console.print(line, soft_wrap=True)


def _print_field(label: str, text: str, console: "Console", style: str | None = None) -> None:
    for line in wrap_field(label, text, console.width):
        console.print(line, soft_wrap=True, style=style)


def _describe_stop(result: dict[str, Any]) -> str:
    """One line on a run that ended before promote."""
    names, until = [step.name for step in STEPS], result["until"]
    not_run = names[names.index(until) + 1 :]
    registered = "the champion stays" if until == "register" else "nothing was registered"
    where = result["outputs"]
    return f"Stopped after {until} (--until); not run: {', '.join(not_run)}; {registered}. Outputs: {where}"
