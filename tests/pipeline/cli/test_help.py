"""Every command says what it does, what each option means, and how it is called; and a shell completes it."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.cli.app import app
from pipeline.cli.workspace import complete_config

_EXAMPLE = re.compile(r"`(recap [^`]+)`")


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each command that does something, by the words that call it."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    if command.invoke_without_command:
        yield " ".join(path), command
    for name, inner in command.commands.items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands())


def examples(command: Any) -> list[str]:
    """The calls that a command's help shows."""
    return _EXAMPLE.findall((command.help or command.callback.__doc__ or "").partition("Example:")[2])


def parse(call: str) -> None:
    """Read a call's words as the command line would. Raises what it ends with for an option that there is none of."""
    command, words, path = typer.main.get_command(app), shlex.split(call)[1:], "recap"
    while words and words[0] in getattr(command, "commands", {}):
        path = f"{path} {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    command.make_context(path, words)


def test_help_loads_no_package_but_those_that_print_it():
    code = """
import sys
from typer.testing import CliRunner
from pipeline.cli.app import app
assert CliRunner().invoke(app, sys.argv[1].split()).exit_code == 0
print(*{name.partition(".")[0] for name in sys.modules} & set(sys.argv[2:]))
"""
    heavy = ["kfp", "mlflow", "numpy", "pandas", "pyarrow", "torch", "yaml"]
    # Typer itself takes pydantic and Rich to show options, but not to list commands.
    for call, packages in (("--help", [*heavy, "pydantic", "rich"]), ("models --help", heavy)):
        command = [sys.executable, "-c", code, call, *packages]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stdout.split() == []


def test_the_commands_are_found():
    assert {"run", "promote", "config draft", "schedule create", "models", "models diff"} <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_and_what_its_options_mean(name: str):
    command = COMMANDS[name]
    first = (command.help or command.callback.__doc__).strip().splitlines()[0]
    assert first[0].isupper()
    assert first.endswith(".")
    assert [one.name for one in command.params if not getattr(one, "help", None)] == []


def test_the_registry_is_named_by_the_same_options_everywhere():
    named = {
        name: tuple(option.opts)
        for name, command in COMMANDS.items()
        for option in command.params
        if {"--tracking-uri", "--registry"} & set(option.opts)
    }
    assert set(named.values()) == {("--tracking-uri", "--registry")}
    assert {"run", "score", "doctor", "models", "models show", "rollback", "submit"} <= named.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_shows_how_it_is_called_and_the_call_is_one(name: str, monkeypatch: pytest.MonkeyPatch):
    for variable in ("KFP_HOST", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(variable, "http://127.0.0.1:5000")
    calls = [call for line in examples(COMMANDS[name]) for call in line.split(" && ")]
    assert calls
    assert any(call.startswith(f"recap {name}") for call in calls)
    for call in calls:
        parse(call)


@pytest.mark.parametrize(
    "call", ["recap run --dta log", "recap models show", "recap config draft --data log"]
)
def test_a_call_that_is_none_is_told(call: str):
    with pytest.raises(Exception, match=r"(?i)no such option|missing"):
        parse(call)


def test_a_shell_completes_commands_and_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = {"_RECAP_COMPLETE": "complete_bash", "COMP_WORDS": "recap sch", "COMP_CWORD": "1"}
    words = subprocess.run(
        [Path(sys.executable).with_name("recap")],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert words.stdout.split() == ["schedule"]
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "many").mkdir()
    monkeypatch.chdir(tmp_path)
    assert sorted(complete_config("m")) == ["many/", "mine.yaml", "movielens"]
    assert complete_config("sa") == ["sample"]
    assert complete_config(f"{tmp_path}/mi") == [f"{tmp_path}/mine.yaml"]
