"""Command groups with plain-text help, which reject empty arguments."""

from typing import Any

import typer.core

from pipeline.cli.terminal.arguments import empty_argument

_MAX_HELP_LENGTH = 200  # more characters than the first sentence of any command's help


class CommandGroup(typer.core.TyperGroup):
    """Commands with plain-text help: Rich truncates names in narrow columns and doubles the start-up time."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "rich_markup_mode": None})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reject empty values; an empty path would mean the working folder."""
        if empty := empty_argument(self, args):
            ctx.fail(f"{empty}: an empty value; give one, or leave it out")
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List each command with its complete first sentence, which Typer would truncate."""
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_MAX_HELP_LENGTH)) for name, one in commands])
